/* Text in buffers that end: what does not fit is noticed, never cut off. And memory that held a secret, emptied for good. */
#ifndef DEVICE_AUTH_TEXT_H
#define DEVICE_AUTH_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *text;
  size_t capacity;
  size_t length;
  bool overflowed;
} device_auth_writer;

/* `capacity` is at least 1: there is always a closing zero. */
device_auth_writer device_auth_write_to(char *text, size_t capacity);
void device_auth_write(device_auth_writer *writer, const char *text);
void device_auth_write_number(device_auth_writer *writer, int64_t number);
/* RFC 4648 §5 without padding. */
void device_auth_write_base64url(device_auth_writer *writer, const uint8_t *bytes, size_t length);
/* As the value of a form (application/x-www-form-urlencoded). */
void device_auth_write_encoded(device_auth_writer *writer, const char *text);

/* true when it was copied with its closing zero; else `to` is empty. */
bool device_auth_copy(char *to, size_t capacity, const char *from, size_t length);

/* Characters that may stand in a token and in a header: 0x21 to 0x7e, at least one (RFC 6749 A.12). */
bool device_auth_is_visible(const char *text);

/* Not removed by an optimiser that finds nobody reads it any more. */
void device_auth_wipe(void *memory, size_t length);

/* IEEE 802.3, as in zlib. */
uint32_t device_auth_crc32(uint32_t crc, const void *bytes, size_t length);

/* `Wed, 25 Nov 2026 07:44:04 GMT` (RFC 9110 §5.6.7) as Unix time; 0 for anything else. */
int64_t device_auth_parse_date(const char *text);

/* Seconds of a Retry-After that is a number; -1 for anything else. At most `longest`. */
int64_t device_auth_parse_seconds(const char *text, int64_t longest);

#endif
