/* Just enough of the Arduino core 3 to check the types of hal_arduino.cpp and the sketch. Nothing of it can run. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#define HIGH 1
#define LOW 0
#define OUTPUT 3
class String {
 public:
  const char *c_str() const;
  unsigned int length() const;
};
class Stream {
 public:
  virtual ~Stream() {}
  virtual size_t write(uint8_t byte) = 0;
  virtual size_t write(const uint8_t *bytes, size_t length) = 0;
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int peek() = 0;
};
class HardwareSerial {
 public:
  void begin(unsigned long baud);
  int printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
  size_t println(const char *text);
};
extern HardwareSerial Serial;
void delay(uint32_t ms);
unsigned long millis();
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
float temperatureRead();
void configTime(long gmtOffset, int daylightOffset, const char *server);
