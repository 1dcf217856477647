#pragma once
#include "Arduino.h"
#include "NetworkClientSecure.h"
typedef enum { HTTPC_DISABLE_FOLLOW_REDIRECTS } followRedirects_t;
class HTTPClient {
 public:
  bool begin(NetworkClient &client, const char *url);
  void setReuse(bool reuse);
  void setTimeout(uint16_t timeout);
  void setFollowRedirects(followRedirects_t follow);
  void addHeader(const char *name, const char *value);
  void collectHeaders(const char *headerKeys[], const size_t headerKeysCount);
  int POST(uint8_t *payload, size_t size);
  int writeToStream(Stream *stream);
  String header(const char *name);
  void end();
};
