/*
 * Reads the members that are wanted of one JSON object (RFC 8259), strictly, without memory of its own and without recursion. A
 * document that is not whole, has something behind it, is nested deeper than eight levels, or has a wanted member twice or of another
 * kind, is refused as a whole.
 *
 * Not cJSON: its hooks for memory are global, and would take those of the rest of the firmware with them; and it goes down a
 * thousand levels on a stack that has none to spare.
 */
#ifndef DEVICE_AUTH_JSON_H
#define DEVICE_AUTH_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With `text` a member that is a string of printable ASCII, which must fit; without, a whole number of at most nine digits. */
typedef struct {
  const char *name;
  char *text;
  size_t capacity;
  int64_t number;
  bool is_there;
} device_auth_member;

/* 0, or -1. Members that are not there keep an empty text. */
int device_auth_read_json(const char *document, size_t length, device_auth_member *wanted, size_t count);

#endif
