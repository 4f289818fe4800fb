#include "api/firewall.h"

#include <cstring>

namespace {

// Decision: a fixed buffer, not a string: a message must be kept after std::bad_alloc too, and a thread that ends frees it
// without a destructor that could run too late.
constexpr int32_t message_capacity = 2048;
thread_local char last_message[message_capacity];
thread_local int32_t last_length = 0;

// The longest prefix of at most limit bytes that does not end inside a UTF-8 character.
int32_t whole_characters(const char * text, int32_t length, int32_t limit) noexcept {
    if (length <= limit) {
        return length;
    }
    int32_t end = limit;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) {
        end--;
    }
    return end;
}

} // namespace

int32_t continual::fail(int32_t status, const char * message) noexcept {
    if (message == nullptr || message[0] == '\0') {
        message = "no message";
    }
    const void * zero = std::memchr(message, '\0', message_capacity);
    const int32_t length =
        zero != nullptr ? static_cast<int32_t>(static_cast<const char *>(zero) - message) : message_capacity;
    last_length = whole_characters(message, length, message_capacity - 1);
    std::memcpy(last_message, message, static_cast<uint32_t>(last_length));
    last_message[last_length] = '\0';
    return status;
}

extern "C" {

int32_t cn_version(void) CN_NOEXCEPT {
    return CN_INTERFACE_VERSION;
}

int32_t cn_last_error(char * buffer, int32_t capacity) CN_NOEXCEPT {
    if (buffer != nullptr && capacity > 0) {
        const int32_t copied = whole_characters(last_message, last_length, capacity - 1);
        std::memcpy(buffer, last_message, static_cast<uint32_t>(copied));
        buffer[copied] = '\0';
    }
    return last_length;
}

} // extern "C"
