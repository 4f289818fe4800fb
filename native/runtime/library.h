// A shared library that is opened at run time.
#pragma once

#include <initializer_list>
#include <string>

namespace continual {

class library {
public:
    library() = default;
    // Only what some other part of the process has open already.
    static library loaded(const char * name);
    // The first of the names that can be opened. is_open() tells whether one could; why() what the system said of the last.
    explicit library(std::initializer_list<const char *> names);
    ~library();
    library(library && other) noexcept;
    library & operator=(library && other) noexcept;

    bool is_open() const noexcept { return handle_ != nullptr; }
    const std::string & name() const noexcept { return name_; }
    const std::string & why() const noexcept { return why_; }

    // The address of a function, or null.
    void * find(const char * function) const noexcept;

private:
    void * handle_ = nullptr;
    std::string name_;
    std::string why_;
};

} // namespace continual
