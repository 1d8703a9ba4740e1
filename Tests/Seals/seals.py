#!/usr/bin/env python3
"""Seals of signing sessions, as others see them.

    seals.py make DIR             keys, certificates and PDFs for the tests, in DIR
    seals.py run URL DIR [PORT]   has sessions on those PDFs sealed by a running Annals, and looks at what comes out

pyHanko (PyPI) and pdfsig (poppler) say whether a seal holds; both have to convict a PDF that was changed afterwards. With PORT an
authority for time answers there, made of openssl's: its first answer is 503. Each case prints a line; the last one says how many held."""
import base64
import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

TIMEOUT = 60


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True)


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, curve in (("ca", None), ("seal", None), ("elliptic", "P-256"), ("time", None)):
        kind = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"] if curve else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        openssl("genpkey", *kind, "-out", f"{name}.key", cwd=folder)
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Test Root", "-days", 3650, "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", cwd=folder)
    for name, subject, extra in (("seal", "Annals Seal", "keyUsage=critical,digitalSignature,nonRepudiation"),
                                 ("elliptic", "Annals Elliptic Seal", "keyUsage=critical,digitalSignature,nonRepudiation"),
                                 ("time", "Test Time", "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping")):
        (folder / f"{name}.ext").write_text(f"basicConstraints=CA:FALSE\n{extra}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={subject}", "-out", f"{name}.csr", cwd=folder)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 3650,
                "-extfile", f"{name}.ext", "-out", f"{name}.crt", cwd=folder)
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / "ca.pem").read_text())
    (folder / "tsa.cnf").write_text("[tsa]\ndefault_tsa=t\n[t]\nserial=" + str(folder / "serial") + "\ndefault_policy=1.2.3.4\n"
                                    "digests=sha256\nsigner_digest=sha256\ness_cert_id_alg=sha256\n")
    (folder / "serial").write_text("01\n")
    plain = pdf({})
    (folder / "plain.pdf").write_bytes(plain)
    (folder / "no_newline.pdf").write_bytes(plain.rstrip(b"\n"))
    # A form and notes that are there already, in arrays of their own.
    form = pdf({1: "<< /Type /Catalog /Pages 2 0 R /AcroForm 6 0 R >>",
                3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> /Annots 8 0 R >>",
                6: "<< /Fields 7 0 R /DA (/F 12 Tf) >>", 7: "[ 9 0 R ]", 8: "[ 9 0 R ]",
                9: "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Name) /V (Jane) /Rect [10 10 90 30] /P 3 0 R >>"})
    (folder / "form.pdf").write_bytes(form)
    certified = pdf({1: "<< /Type /Catalog /Pages 2 0 R /Perms << /DocMDP 6 0 R >> >>", 6: "<< /Type /Sig >>"})
    (folder / "certified.pdf").write_bytes(certified)
    for name, options in (("streams", ["--object-streams=generate"]), ("encrypted", ["--encrypt", "user", "owner", "256", "--"])):
        subprocess.run(["qpdf", *options, folder / "form.pdf", folder / f"{name}.pdf"], check=True)
    (folder / "damaged.pdf").write_bytes(plain[:-40] + b"startxref\n7\n%%EOF\n")
    (folder / "text.pdf").write_bytes(b"%PDF-1.7\nnot one\n")
    (folder / "shifted.pdf").write_bytes(b"something before\n" + plain)
    # Bytes beyond ASCII in objects that are written again, and a note that is a part of the page.
    (folder / "latin.pdf").write_bytes(pdf({
        1: "<< /Type /Catalog /Pages 2 0 R /PageLabels << /Nums [ 0 << /P (Seite f\xfcr die \xdcbergabe an alle anderen ) >> ] >> >>",
        3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> /Annots [ << /Type /Annot "
           "/Subtype /Text /Rect [0 0 9 9] /Contents (Kaution 500 Euro f\xfcr die ganze lange Wohnung) >> ] >>"}, "latin-1"))
    # The trailer counts too few objects.
    (folder / "small.pdf").write_bytes(plain.replace(b"/Size 6", b"/Size 4"))
    # The page is a part of the tree.
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
    (folder / "inline.pdf").write_bytes(pdf({2: f"<< /Type /Pages /Kids [ {page} ] /Count 1 >>"}))
    # A tree of pages so deep that its reader ends, and a table that is a gigabyte inside.
    deep = {number: f"<< /Type /Pages /Parent {number - 1} 0 R /Kids [ {number + 1} 0 R ] /Count 1 >>" for number in range(6, 60_000)}
    (folder / "deep.pdf").write_bytes(pdf({2: "<< /Type /Pages /Kids [6 0 R] /Count 1 >>", **deep, 60_000: page}))
    bomb = zlib.compress(zlib.compress(bytes(1 << 30), 1), 9)
    out = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
    out += f"2 0 obj\n<< /Type /XRef /Size 3 /W [ 1 2 1 ] /Root 1 0 R /Filter [ /FlateDecode /FlateDecode ] /Length {len(bomb)} >>\nstream\n".encode()
    (folder / "bomb.pdf").write_bytes(out + bomb + b"\nendstream\nendobj\nstartxref\n45\n%%EOF\n")


def pdf(changes, encoding="ascii"):
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R >>", 2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
        4: "<< /Length 42 >>\nstream\nBT /F 18 Tf 20 150 Td (A lease) Tj ET     \nendstream",
        5: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", **changes}
    out, places = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), {}
    for number, text in objects.items():
        places[number] = len(out)
        out += f"{number} 0 obj\n{text}\nendobj\n".encode(encoding)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for number in sorted(places):
        out += f"{places[number]:010} 00000 n \n".encode()
    return bytes(out) + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /ID [<00><01>] >>\nstartxref\n{start}\n%%EOF\n".encode()


class Authority(http.server.BaseHTTPRequestHandler):
    folder, asked = None, 0

    def do_POST(self):
        Authority.asked += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/timestamp-query"
        if Authority.asked == 1:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = self.folder / f"query-{Authority.asked}"
        name.write_bytes(body)
        answer = subprocess.run(["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", name, "-signer", "time.crt", "-inkey", "time.key",
                                 "-chain", "ca.pem"], cwd=self.folder, check=True, capture_output=True).stdout
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def ask(method, path, body=None, type="application/json"):
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, method=method, data=data, headers={"Content-Type": type, "X-Actor": "alice"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def sealed(name):
    """A session on a PDF, completed, once its seal is made or given up: its row, and the path of what is sealed."""
    status, row = ask("POST", "/documents", {"title": name})
    assert status == 201, row
    id = json.loads(row)["id"]
    status, row = ask("PUT", f"/documents/{id}/content", (FOLDER / name).read_bytes(), "application/pdf")
    assert status == 200, row
    status, session = ask("POST", f"/documents/{id}/signing-sessions", {"seal": True, "participants": [
        {"email": "jane@x.org", "name": "Jane Ä."}, {"email": "li@x.org", "name": "李"}]})
    assert status == 201, session
    path = f"/documents/{id}/signing-sessions/{json.loads(session)['id']}"
    assert ask("GET", path + "/sealed")[0] == 404
    for email in ("jane@x.org", "li@x.org"):
        status, row = ask("POST", "/signatures", {"document_id": id, "signer_email": email, "signer_name": "N", "consent": True,
                                                  "session_id": json.loads(session)["id"], "signature_data": base64.b64encode(b"hi").decode()})
        assert status == 201, row
    deadline = time.monotonic() + TIMEOUT
    while (row := json.loads(ask("GET", path)[1]))["seal"]["status"] == "pending":
        assert time.monotonic() < deadline, row
        time.sleep(0.2)
    return row, path


def looked_at(path):
    """What pyHanko says of the last signature: (valid, covers the whole file, level of trust, time)."""
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko.keys import load_cert_from_pemder
    from pyhanko_certvalidator import ValidationContext
    with open(path, "rb") as file:
        signature = PdfFileReader(file).embedded_signatures[-1]
        status = validate_pdf_signature(signature, ValidationContext(trust_roots=[load_cert_from_pemder(str(FOLDER / "ca.pem"))], allow_fetching=False))
        attributes = {entry["type"].native for entry in signature.signer_info["signed_attrs"]}
        return status, signature, attributes


def hold(name, level):
    row, path = sealed(name)
    assert row["seal"]["status"] == "done" and row["seal"]["level"] == level, row["seal"]
    status, data = ask("GET", path + "/sealed")
    original = (FOLDER / name).read_bytes()
    assert status == 200 and data.startswith(original), "the original is not at its beginning"
    out = FOLDER / f"sealed-{level}-{name}"
    out.write_bytes(data)
    result, signature, attributes = looked_at(out)
    assert result.bottom_line and result.valid and result.intact and result.trusted, result.summary()
    assert result.coverage.name == "ENTIRE_FILE", result.coverage
    assert attributes == {"content_type", "message_digest", "signing_certificate_v2"}, attributes
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    assert "Jane Ä." in signature.sig_object["/Reason"] and "李" in signature.sig_object["/Reason"]
    assert (result.timestamp_validity is not None) == (level == "B-T")
    if level == "B-T":
        assert result.timestamp_validity.valid and result.timestamp_validity.trusted, result.timestamp_validity.summary()
    texts = [subprocess.run(["qpdf", "--json", "--json-key=qpdf", path], capture_output=True, text=True).stdout.count("f\u00fcr") for path in (FOLDER / name, out)]
    assert texts[0] <= texts[1], "texts of the document have changed"
    printed = subprocess.run(["pdfsig", "-nocert", out], capture_output=True, text=True).stdout
    assert "Signature is Valid." in printed and "Total document signed" in printed and "ETSI.CAdES.detached" in printed, printed
    subprocess.run(["qpdf", "--check", out], check=True, capture_output=True)
    # One byte of the page.
    place = data.index(b"A lease") if b"A lease" in data else len(original) // 2
    bad = FOLDER / f"changed-{level}-{name}"
    bad.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1:])
    printed = subprocess.run(["pdfsig", "-nocert", bad], capture_output=True, text=True).stdout
    assert "Signature is Valid." not in printed, "pdfsig takes a changed PDF: " + printed
    try:
        assert not looked_at(bad)[0].intact, "pyHanko takes a changed PDF"
    except AssertionError:
        raise
    except Exception:
        pass  # It cannot even be read.


def refused(name, word):
    row, path = sealed(name)
    assert row["status"] == "completed" and row["seal"]["status"] == "failed" and word in row["seal"]["problem"], row["seal"]
    status, text = ask("GET", path + "/sealed")
    assert status == 404 and word in json.loads(text)["detail"], text


def not_a_pdf():
    id = json.loads(ask("POST", "/documents", {"title": "T", "content": "text"})[1])["id"]
    status, text = ask("POST", f"/documents/{id}/signing-sessions", {"seal": True, "participants": [{"email": "j@x.org", "name": "J"}]})
    assert status == 422 and json.loads(text)["field"] == "/seal", text
    status, text = ask("POST", f"/documents/{id}/signing-sessions", {"participants": [{"email": "j@x.org", "name": "J"}]})
    assert status == 201 and "seal" not in json.loads(text), text


def run(port):
    level = "B-T" if port else "B-B"
    if port:
        Authority.folder = FOLDER
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Authority)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    cases = [("plain.pdf", None), ("streams.pdf", None)]
    if not port:
        cases += [("form.pdf", None), ("no_newline.pdf", None), ("latin.pdf", None), ("small.pdf", "fewer objects"), ("encrypted.pdf", "encrypted"),
                  ("certified.pdf", "certified"), ("damaged.pdf", "cannot be read"), ("text.pdf", "cannot be read"), ("shifted.pdf", "cannot be read"),
                  ("inline.pdf", "object of its own"), ("deep.pdf", "cannot be read"), ("bomb.pdf", "cannot be read"), (None, None)]
    held = 0
    for name, word in cases:
        try:
            not_a_pdf() if name is None else refused(name, word) if word else hold(name, level)
            held += 1
            print("ok    ", name or "no PDF", flush=True)
        except Exception as error:
            print("FAILED", name or "no PDF", repr(error)[:600], "line", sys.exc_info()[2].tb_next.tb_lineno, flush=True)
    print(f"{held} of {len(cases)} cases hold")
    sys.exit(0 if held == len(cases) else 1)


if sys.argv[1] == "make":
    make(Path(sys.argv[2]).resolve())
else:
    URL, FOLDER = sys.argv[2], Path(sys.argv[3]).resolve()
    run(sys.argv[4] if len(sys.argv) > 4 else None)
