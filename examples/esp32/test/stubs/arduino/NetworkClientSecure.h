#pragma once
class NetworkClient {};
class NetworkClientSecure : public NetworkClient {
 public:
  void setCACert(const char *rootCA);
};
