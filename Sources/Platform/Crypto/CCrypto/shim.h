#pragma once
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ts.h>
#include <openssl/x509.h>

/// A macro of casts, which Swift does not see.
static inline int annals_public_key_selection(void) { return EVP_PKEY_PUBLIC_KEY; }

/// True if a CMS has one signer, whose signature holds and whose certificate, in it, is one for time stamps alone. Who has issued the
/// certificate is not looked at.
static inline int annals_is_time_stamp(CMS_ContentInfo *cms) {
  if (CMS_verify(cms, NULL, NULL, NULL, NULL, CMS_NO_SIGNER_CERT_VERIFY) != 1) return 0;
  STACK_OF(X509) *signers = CMS_get0_signers(cms);
  int is_one = signers != NULL && sk_X509_num(signers) == 1
    && X509_check_purpose(sk_X509_value(signers, 0), X509_PURPOSE_TIMESTAMP_SIGN, 0) == 1;
  sk_X509_free(signers);
  return is_one;
}
