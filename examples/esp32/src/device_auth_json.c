#include "device_auth_json.h"

#include <string.h>

enum { DEEPEST = 8, LONGEST_NAME = 48 };

typedef struct {
  const char *at;
  const char *end;
} reader;

static void skip_space(reader *from) {
  while (from->at < from->end && (*from->at == ' ' || *from->at == '\t' || *from->at == '\n' || *from->at == '\r')) from->at++;
}

static bool take(reader *from, char character) {
  if (from->at >= from->end || *from->at != character) return false;
  from->at++;
  return true;
}

static bool take_word(reader *from, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(from->end - from->at) < length || memcmp(from->at, word, length) != 0) return false;
  from->at += length;
  return true;
}

/* Four hexadecimal digits; -1 for anything else. */
static int read_unit(reader *from) {
  int unit = 0;
  int count;
  for (count = 0; count < 4; count++) {
    char digit = from->at < from->end ? *from->at++ : '\0';
    if (digit >= '0' && digit <= '9') unit = unit * 16 + (digit - '0');
    else if (digit >= 'a' && digit <= 'f') unit = unit * 16 + (digit - 'a' + 10);
    else if (digit >= 'A' && digit <= 'F') unit = unit * 16 + (digit - 'A' + 10);
    else return -1;
  }
  return unit;
}

/* Behind a backslash: the character, 0x100 for one that is not ASCII, or -1. */
static int read_escape(reader *from) {
  static const char letters[] = "\"\\/bfnrt";
  static const char meant[] = "\"\\/\b\f\n\r\t";
  const char *letter;
  int unit;
  if (from->at >= from->end || *from->at == '\0') return -1;
  if (*from->at != 'u') {
    letter = strchr(letters, *from->at++);
    return letter == NULL ? -1 : meant[letter - letters];
  }
  from->at++;
  unit = read_unit(from);
  if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) return -1;
  if (unit >= 0xd800 && unit <= 0xdbff) {
    if (!take(from, '\\') || !take(from, 'u')) return -1;
    unit = read_unit(from);
    if (unit < 0xdc00 || unit > 0xdfff) return -1;
    return 0x100;
  }
  return unit > 0x7f ? 0x100 : unit;
}

/*
 * A string, its opening quote taken. `text` may be NULL to skip it. False for one that does not end. `fits` tells whether all of it is
 * in `text`, as printable ASCII.
 */
static bool read_string(reader *from, char *text, size_t capacity, bool *fits) {
  size_t length = 0;
  *fits = true;
  while (from->at < from->end) {
    int character = (unsigned char)*from->at++;
    if (character == '"') {
      if (text != NULL) text[*fits ? length : 0] = '\0';
      return true;
    }
    if (character < 0x20) return false;
    if (character == '\\') {
      character = read_escape(from);
      if (character < 0) return false;
    }
    if (text == NULL) continue;
    if (character < 0x20 || character > 0x7e || length + 1 >= capacity) *fits = false;
    else if (*fits) text[length++] = (char)character;
  }
  return false;
}

static bool is_digit(const reader *from) { return from->at < from->end && *from->at >= '0' && *from->at <= '9'; }

static bool skip_digits(reader *from) {
  if (!is_digit(from)) return false;
  while (is_digit(from)) from->at++;
  return true;
}

static bool skip_number(reader *from) {
  take(from, '-');
  if (!take(from, '0') && !skip_digits(from)) return false;
  if (take(from, '.') && !skip_digits(from)) return false;
  if (take(from, 'e') || take(from, 'E')) {
    if (!take(from, '+')) take(from, '-');
    if (!skip_digits(from)) return false;
  }
  return true;
}

/* A whole number that is not negative. */
static bool read_number(reader *from, int64_t *number) {
  const char *start = from->at;
  if (!skip_number(from) || from->at - start > 9) return false;
  *number = 0;
  for (; start < from->at; start++) {
    if (*start < '0' || *start > '9') return false;
    *number = *number * 10 + (*start - '0');
  }
  return true;
}

static bool skip_scalar(reader *from) {
  bool fits;
  if (take(from, '"')) return read_string(from, NULL, 0, &fits);
  return take_word(from, "true") || take_word(from, "false") || take_word(from, "null") || skip_number(from);
}

/* Any value, arrays and objects too: their kinds are the bits of a number, so the stack does not grow with what a server sends. */
static bool skip_value(reader *from) {
  unsigned is_object = 0;
  unsigned depth = 0;
  bool fits;
  for (;;) {
    bool opens_object;
    skip_space(from);
    opens_object = take(from, '{');
    if (opens_object || take(from, '[')) {
      if (depth++ == DEEPEST) return false;
      is_object = (is_object << 1) | (opens_object ? 1U : 0U);
      skip_space(from);
      if (from->at >= from->end) return false;
      if (*from->at != '}' && *from->at != ']') {
        if (!opens_object) continue;
        goto member;
      }
    } else if (!skip_scalar(from)) {
      return false;
    }
    /* Behind a value, or in an empty one: closes as much as closes. */
    for (;;) {
      if (depth == 0) return true;
      skip_space(from);
      if (!take(from, is_object & 1U ? '}' : ']')) break;
      depth--;
      is_object >>= 1;
    }
    if (!take(from, ',')) return false;
  member:
    if (is_object & 1U) {
      skip_space(from);
      if (!take(from, '"') || !read_string(from, NULL, 0, &fits)) return false;
      skip_space(from);
      if (!take(from, ':')) return false;
    }
  }
}

static device_auth_member *find_member(const char *name, device_auth_member *wanted, size_t count) {
  size_t index;
  for (index = 0; index < count; index++)
    if (strcmp(wanted[index].name, name) == 0) return &wanted[index];
  return NULL;
}

static bool read_member(reader *from, device_auth_member *member) {
  bool fits;
  if (member->is_there) return false;
  member->is_there = true;
  if (member->text == NULL) return read_number(from, &member->number);
  return take(from, '"') && read_string(from, member->text, member->capacity, &fits) && fits;
}

int device_auth_read_json(const char *document, size_t length, device_auth_member *wanted, size_t count) {
  reader from;
  size_t index;
  char name[LONGEST_NAME];
  bool fits;
  from.at = document;
  from.end = document + length;
  for (index = 0; index < count; index++) {
    wanted[index].is_there = false;
    wanted[index].number = 0;
    if (wanted[index].text != NULL) wanted[index].text[0] = '\0';
  }
  skip_space(&from);
  if (!take(&from, '{')) return -1;
  skip_space(&from);
  if (!take(&from, '}')) {
    do {
      device_auth_member *member;
      skip_space(&from);
      if (!take(&from, '"') || !read_string(&from, name, sizeof name, &fits)) return -1;
      member = fits ? find_member(name, wanted, count) : NULL;
      skip_space(&from);
      if (!take(&from, ':')) return -1;
      skip_space(&from);
      if (member == NULL ? !skip_value(&from) : !read_member(&from, member)) return -1;
      skip_space(&from);
    } while (take(&from, ','));
    if (!take(&from, '}')) return -1;
  }
  skip_space(&from);
  return from.at == from.end ? 0 : -1;
}
