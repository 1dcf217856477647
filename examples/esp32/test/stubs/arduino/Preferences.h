#pragma once
#include "Arduino.h"
class Preferences {
 public:
  bool begin(const char *name, bool readOnly);
  bool isKey(const char *key);
  size_t getBytesLength(const char *key);
  size_t getBytes(const char *key, void *buf, size_t maxLen);
  size_t putBytes(const char *key, const void *value, size_t len);
  void end();
};
