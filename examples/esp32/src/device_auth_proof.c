#include "device_auth_proof.h"

#include <string.h>

#include "device_auth_text.h"
#include "mbedtls/version.h"

#if MBEDTLS_VERSION_NUMBER >= 0x04000000 && !defined(DEVICE_AUTH_PSA)
#define DEVICE_AUTH_PSA
#endif

enum { HASH_SIZE = 32, SIGNATURE_SIZE = 64, POINT_SIZE = 65, IDENTIFIER_SIZE = 16 };

static int hash(const char *text, uint8_t digest[HASH_SIZE]);
static int sign_hash(const device_auth_hooks *hooks, const uint8_t *key, const uint8_t *digest, uint8_t *signature);
static int generate(const device_auth_hooks *hooks, uint8_t *key, uint8_t point[POINT_SIZE]);

int device_auth_new_key(const device_auth_hooks *hooks, uint8_t key[DEVICE_AUTH_KEY_SIZE],
                        uint8_t public_key[DEVICE_AUTH_PUBLIC_KEY_SIZE]) {
  uint8_t point[POINT_SIZE];
  if (generate(hooks, key, point) != 0) {
    device_auth_wipe(key, DEVICE_AUTH_KEY_SIZE);
    return -1;
  }
  /* Behind the 4 that says: uncompressed. */
  memcpy(public_key, point + 1, DEVICE_AUTH_PUBLIC_KEY_SIZE);
  return 0;
}

static void write_header(device_auth_writer *to, const uint8_t *public_key) {
  device_auth_write(to, "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
  device_auth_write_base64url(to, public_key, 32);
  device_auth_write(to, "\",\"y\":\"");
  device_auth_write_base64url(to, public_key + 32, 32);
  device_auth_write(to, "\"}}");
}

static void write_address(device_auth_writer *to, const char *url) {
  for (; *url != '\0' && *url != '?' && *url != '#'; url++) {
    char character[2] = {*url, '\0'};
    device_auth_write(to, character);
  }
}

/* What comes from outside holds no quote, no backslash and no control character: addresses and nonces were checked when they came. */
static int write_claims(device_auth_writer *to, const device_auth_hooks *hooks, const device_auth_proof *proof) {
  uint8_t bytes[HASH_SIZE];
  if (hooks->random(hooks->context, bytes, IDENTIFIER_SIZE) != 0) return -1;
  device_auth_write(to, "{\"jti\":\"");
  device_auth_write_base64url(to, bytes, IDENTIFIER_SIZE);
  device_auth_write(to, "\",\"htm\":\"POST\",\"htu\":\"");
  write_address(to, proof->url);
  device_auth_write(to, "\",\"iat\":");
  device_auth_write_number(to, proof->issued_at);
  if (proof->nonce[0] != '\0') {
    device_auth_write(to, ",\"nonce\":\"");
    device_auth_write(to, proof->nonce);
    device_auth_write(to, "\"");
  }
  if (proof->access_token != NULL) {
    if (hash(proof->access_token, bytes) != 0) return -1;
    device_auth_write(to, ",\"ath\":\"");
    device_auth_write_base64url(to, bytes, HASH_SIZE);
    device_auth_write(to, "\"");
  }
  device_auth_write(to, "}");
  return 0;
}

int device_auth_write_proof(const device_auth_hooks *hooks, const device_auth_proof *proof, char *text, size_t capacity,
                            char *scratch, size_t scratch_capacity) {
  uint8_t bytes[SIGNATURE_SIZE];
  device_auth_writer to = device_auth_write_to(text, capacity);
  device_auth_writer part = device_auth_write_to(scratch, scratch_capacity);
  int done = -1;
  write_header(&part, proof->public_key);
  device_auth_write_base64url(&to, (const uint8_t *)scratch, part.length);
  device_auth_write(&to, ".");
  if (!part.overflowed) {
    part = device_auth_write_to(scratch, scratch_capacity);
    done = write_claims(&part, hooks, proof);
    device_auth_write_base64url(&to, (const uint8_t *)scratch, part.length);
  }
  if (done == 0) done = hash(text, bytes);
  if (done == 0) done = sign_hash(hooks, proof->key, bytes, bytes);
  if (done == 0) {
    device_auth_write(&to, ".");
    device_auth_write_base64url(&to, bytes, SIGNATURE_SIZE);
  }
  device_auth_wipe(scratch, scratch_capacity);
  if (done == 0 && !part.overflowed && !to.overflowed) return 0;
  text[0] = '\0';
  return -1;
}

#ifdef DEVICE_AUTH_PSA

#include "psa/crypto.h"

static int hash(const char *text, uint8_t digest[HASH_SIZE]) {
  size_t length = 0;
  if (psa_crypto_init() != PSA_SUCCESS) return -1;
  return psa_hash_compute(PSA_ALG_SHA_256, (const uint8_t *)text, strlen(text), digest, HASH_SIZE, &length) == PSA_SUCCESS ? 0 : -1;
}

static psa_key_attributes_t attributes_of(psa_key_usage_t usage) {
  psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
  psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
  psa_set_key_bits(&attributes, 256);
  psa_set_key_usage_flags(&attributes, usage);
  psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
  return attributes;
}

static int sign_hash(const device_auth_hooks *hooks, const uint8_t *key, const uint8_t *digest, uint8_t *signature) {
  psa_key_attributes_t attributes = attributes_of(PSA_KEY_USAGE_SIGN_HASH);
  psa_key_id_t handle = 0;
  uint8_t copy[HASH_SIZE];
  size_t length = 0;
  psa_status_t status;
  (void)hooks; /* PSA has a source of randomness of its own. */
  memcpy(copy, digest, sizeof copy);
  if (psa_crypto_init() != PSA_SUCCESS) return -1;
  if (psa_import_key(&attributes, key, DEVICE_AUTH_KEY_SIZE, &handle) != PSA_SUCCESS) return -1;
  status = psa_sign_hash(handle, PSA_ALG_ECDSA(PSA_ALG_SHA_256), copy, sizeof copy, signature, SIGNATURE_SIZE, &length);
  psa_destroy_key(handle);
  return status == PSA_SUCCESS && length == SIGNATURE_SIZE ? 0 : -1;
}

static int generate(const device_auth_hooks *hooks, uint8_t *key, uint8_t point[POINT_SIZE]) {
  psa_key_attributes_t attributes = attributes_of(PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_EXPORT);
  psa_key_id_t handle = 0;
  size_t key_length = 0;
  size_t point_length = 0;
  bool done;
  (void)hooks;
  if (psa_crypto_init() != PSA_SUCCESS || psa_generate_key(&attributes, &handle) != PSA_SUCCESS) return -1;
  done = psa_export_key(handle, key, DEVICE_AUTH_KEY_SIZE, &key_length) == PSA_SUCCESS &&
         psa_export_public_key(handle, point, POINT_SIZE, &point_length) == PSA_SUCCESS;
  psa_destroy_key(handle);
  return done && key_length == DEVICE_AUTH_KEY_SIZE && point_length == POINT_SIZE ? 0 : -1;
}

#else

#include "mbedtls/ecdsa.h"
#include "mbedtls/ecp.h"
#include "mbedtls/sha256.h"

static int hash(const char *text, uint8_t digest[HASH_SIZE]) {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
  return mbedtls_sha256((const unsigned char *)text, strlen(text), digest, 0);
#else
  return mbedtls_sha256_ret((const unsigned char *)text, strlen(text), digest, 0);
#endif
}

static int random_for_mbedtls(void *context, unsigned char *bytes, size_t length) {
  const device_auth_hooks *hooks = context;
  return hooks->random(hooks->context, bytes, length) == 0 ? 0 : MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

static int sign_hash(const device_auth_hooks *hooks, const uint8_t *key, const uint8_t *digest, uint8_t *signature) {
  mbedtls_ecp_group group;
  mbedtls_mpi secret;
  mbedtls_mpi r;
  mbedtls_mpi s;
  int failed;
  mbedtls_ecp_group_init(&group);
  mbedtls_mpi_init(&secret);
  mbedtls_mpi_init(&r);
  mbedtls_mpi_init(&s);
  failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
  if (failed == 0) failed = mbedtls_mpi_read_binary(&secret, key, DEVICE_AUTH_KEY_SIZE);
  /* Its k comes of the key and the hash (RFC 6979): a weak moment of the random source must not give the key away. */
  if (failed == 0)
    failed = mbedtls_ecdsa_sign_det_ext(&group, &r, &s, &secret, digest, HASH_SIZE, MBEDTLS_MD_SHA256, random_for_mbedtls,
                                        (void *)(uintptr_t)hooks);
  if (failed == 0) failed = mbedtls_mpi_write_binary(&r, signature, 32);
  if (failed == 0) failed = mbedtls_mpi_write_binary(&s, signature + 32, 32);
  mbedtls_mpi_free(&s);
  mbedtls_mpi_free(&r);
  mbedtls_mpi_free(&secret);
  mbedtls_ecp_group_free(&group);
  return failed == 0 ? 0 : -1;
}

static int generate(const device_auth_hooks *hooks, uint8_t *key, uint8_t point[POINT_SIZE]) {
  mbedtls_ecp_group group;
  mbedtls_mpi secret;
  mbedtls_ecp_point open;
  size_t length = 0;
  int failed;
  mbedtls_ecp_group_init(&group);
  mbedtls_mpi_init(&secret);
  mbedtls_ecp_point_init(&open);
  failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
  if (failed == 0) failed = mbedtls_ecp_gen_keypair(&group, &secret, &open, random_for_mbedtls, (void *)(uintptr_t)hooks);
  if (failed == 0) failed = mbedtls_mpi_write_binary(&secret, key, DEVICE_AUTH_KEY_SIZE);
  if (failed == 0) failed = mbedtls_ecp_point_write_binary(&group, &open, MBEDTLS_ECP_PF_UNCOMPRESSED, &length, point, POINT_SIZE);
  mbedtls_ecp_point_free(&open);
  mbedtls_mpi_free(&secret);
  mbedtls_ecp_group_free(&group);
  return failed == 0 && length == POINT_SIZE ? 0 : -1;
}

#endif
