// The one place where exceptions stop.
#pragma once

#include "continual_native.h"

#include "runtime/error.h"

#include <exception>
#include <new>
#include <string>

namespace continual {

// Keeps the message for cn_last_error on this thread, and returns the status, so that a caller can `return fail(...)`.
int32_t fail(int32_t status, const char * message) noexcept;

inline int32_t status_of(failure kind) noexcept {
    switch (kind) {
    case failure::argument:
        return CN_ERROR_ARGUMENT;
    case failure::unsupported:
        return CN_ERROR_UNSUPPORTED;
    case failure::file:
        return CN_ERROR_FILE;
    case failure::mismatch:
        return CN_ERROR_MISMATCH;
    case failure::budget:
        return CN_ERROR_BUDGET;
    case failure::cancelled:
        return CN_ERROR_CANCELLED;
    case failure::memory:
        return CN_ERROR_OUT_OF_MEMORY;
    case failure::device:
        return CN_ERROR_DEVICE;
    }
    return CN_ERROR_UNKNOWN_EXCEPTION;
}

// Runs the call and turns whatever it throws into a status. Inlined: nothing but the call itself on the way of a token.
template <typename Call>
int32_t guarded(Call && call) noexcept {
    try {
        return call();
    } catch (const std::bad_alloc &) {
        return fail(CN_ERROR_OUT_OF_MEMORY, "out of memory");
    } catch (const error & e) {
        return fail(status_of(e.kind()), e.what());
    } catch (const std::exception & e) {
        return fail(CN_ERROR_EXCEPTION, e.what());
    } catch (const std::string & text) {
        return fail(CN_ERROR_UNKNOWN_EXCEPTION, text.c_str());
    } catch (const char * text) {
        return fail(CN_ERROR_UNKNOWN_EXCEPTION, text);
    } catch (...) {
        return fail(CN_ERROR_UNKNOWN_EXCEPTION, "an exception of an unknown type");
    }
}

} // namespace continual
