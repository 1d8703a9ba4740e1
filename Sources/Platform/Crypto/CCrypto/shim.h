#pragma once
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

/// A macro of casts, which Swift does not see.
static inline int annals_public_key_selection(void) { return EVP_PKEY_PUBLIC_KEY; }
