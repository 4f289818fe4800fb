// Failures that users are told about. The C interface turns them into a status.
#pragma once

#include <stdexcept>
#include <string>

namespace continual {

enum class failure {
    argument,
    unsupported,
    file,
    mismatch,
    budget,
    cancelled,
    memory, // of a device
    device, // something that the driver refuses, or that went wrong on a GPU
};

class error : public std::runtime_error {
public:
    error(failure kind, const std::string & message) : std::runtime_error(message), kind_(kind) {}

    failure kind() const noexcept { return kind_; }

private:
    failure kind_;
};

} // namespace continual
