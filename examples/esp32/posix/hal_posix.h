/* The hooks of device_auth for Linux and other POSIX systems: libcurl, a folder of files, the system's random source and clock. */
#ifndef HAL_POSIX_H
#define HAL_POSIX_H

#include "device_auth.h"

typedef struct {
  /* Where what must be kept is kept: a folder that only this user can read. */
  const char *folder;
  /* PEM file of the root certificates to believe; NULL for those of the system. */
  const char *roots;
  bool allow_plain_http;
} hal_posix;

/* `layer` must live as long as the hooks. */
device_auth_hooks hal_posix_hooks(hal_posix *layer);

#endif
