// The text of a thread's last error.
#pragma once
#include <stdint.h>

namespace panoptim {

// Keeps the text for last_error() and returns the code.
int32_t fail(int32_t code, const char* format, ...) __attribute__((format(printf, 2, 3)));

int32_t last_error(char* text, int32_t capacity);

}  // namespace panoptim
