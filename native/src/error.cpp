#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace panoptim {

static thread_local char message[512];

int32_t fail(int32_t code, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return code;
}

int32_t last_error(char* text, int32_t capacity) {
    if (text != nullptr && capacity > 0) {
        snprintf(text, size_t(capacity), "%s", message);
    }
    return int32_t(strlen(message));
}

}  // namespace panoptim
