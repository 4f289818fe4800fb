// Files: mapped for reading, replaced whole for writing.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace continual {

// A file's bytes, read-only, for as long as this lives. If someone truncates the file meanwhile, touching what is gone ends the process (SIGBUS on POSIX systems):
// ask changed() before a long walk over it. Paths are UTF-8.
class mapped_file {
public:
    // Throws error (failure::file) that says why it can't be read.
    explicit mapped_file(const std::string & path);
    ~mapped_file();
    mapped_file(mapped_file && other) noexcept;
    mapped_file(const mapped_file &) = delete;
    mapped_file & operator=(const mapped_file &) = delete;
    mapped_file & operator=(mapped_file &&) = delete;

    std::span<const uint8_t> bytes() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }
    const std::string & path() const noexcept { return path_; }

    // Whether the path now leads to nothing, to another file, or to this one with another size or time of writing.
    bool changed() const noexcept;

private:
    struct identity {
        uint64_t device = 0;
        uint64_t number = 0;
        int64_t size = 0;
        int64_t written = 0; // in the system's finest unit
        bool operator==(const identity &) const = default;
    };
    static bool look(const std::string & path, identity & found) noexcept;

    std::string path_;
    const uint8_t * data_ = nullptr;
    int64_t size_ = 0;
    identity identity_;
};

// Writes PATH.part and puts it in PATH's place when all of it has reached the disk. Until commit() has returned, PATH is what it was; whatever fails
// before, the .part file is taken away. A process that is killed leaves one .part file, which the next writer of PATH takes over.
class atomic_file {
public:
    // Throws error (failure::file), also when another process or thread is just writing the same path.
    explicit atomic_file(const std::string & path);
    ~atomic_file();
    atomic_file(const atomic_file &) = delete;
    atomic_file & operator=(const atomic_file &) = delete;

    void write(const void * data, int64_t size);
    // size zero bytes.
    void pad(int64_t size);
    // Bytes written so far.
    int64_t size() const noexcept { return size_; }
    // Flushes file and folder. Nothing may be written after it.
    void commit();

private:
    void flush();
    [[noreturn]] void fail(const char * doing, int code);
    void abandon() noexcept;

    std::string path_;
    std::string part_;
    std::string buffer_;
    int64_t size_ = 0;
    intptr_t handle_ = -1;
};

// The whole file, at most `limit` bytes of it allowed.
std::string read_text(const std::string & path, int64_t limit);

void write_text(const std::string & path, const std::string & text);

} // namespace continual
