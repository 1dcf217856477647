/*
 * DPoP proofs (RFC 9449 §4.2) with ES256: the key of a device and what it signs. On the mbedTLS that ESP-IDF and the Arduino core bring
 * along: the API of 2.28 and 3.x, or PSA for 4.x and for whoever defines DEVICE_AUTH_PSA.
 */
#ifndef DEVICE_AUTH_PROOF_H
#define DEVICE_AUTH_PROOF_H

#include "device_auth.h"

/* P-256. 0, or -1. */
int device_auth_new_key(const device_auth_hooks *hooks, uint8_t key[DEVICE_AUTH_KEY_SIZE],
                        uint8_t public_key[DEVICE_AUTH_PUBLIC_KEY_SIZE]);

typedef struct {
  const uint8_t *key;
  const uint8_t *public_key;
  /* Of the request, which is a POST. Its query is left out of the proof. */
  const char *url;
  /* NULL at the token endpoint. */
  const char *access_token;
  /* Empty when the server has given none. */
  const char *nonce;
  int64_t issued_at;
} device_auth_proof;

/* 0, or -1 when it could not be signed or does not fit. `scratch` is wiped. */
int device_auth_write_proof(const device_auth_hooks *hooks, const device_auth_proof *proof, char *text, size_t capacity,
                            char *scratch, size_t scratch_capacity);

#endif
