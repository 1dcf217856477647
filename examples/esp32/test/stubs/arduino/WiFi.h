#pragma once
#define WL_CONNECTED 3
class WiFiClass {
 public:
  void begin(const char *name, const char *password);
  int status();
};
extern WiFiClass WiFi;
