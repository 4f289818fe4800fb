#include "io/file.h"

#include "io/text.h"
#include "io_check.h"

#include <thread>

#if !defined(_WIN32)
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using continual::atomic_file;
using continual::mapped_file;
using io_check::folder;
using io_check::of;

TEST(written_file_is_there_whole_after_commit_only) {
    const folder folder;
    const std::string path = folder / "a.bin";
    io_check::write(path, of("old"));
    std::string expected;
    {
        atomic_file file(path);
        for (int i = 0; i < 3000; i++) {
            const std::string part(static_cast<std::size_t>(i % 1500), static_cast<char>('a' + i % 26));
            file.write(part.data(), static_cast<int64_t>(part.size()));
            expected += part;
        }
        file.pad(100);
        expected += std::string(100, '\0');
        CHECK_EQ(file.size(), static_cast<int64_t>(expected.size()));
        CHECK(io_check::read(path) == of("old"));
        file.commit();
    }
    CHECK(io_check::read(path) == of(expected));
    CHECK_EQ(folder.files(), 1u);
}

TEST(file_given_up_leaves_the_old_one_and_nothing_else) {
    const folder folder;
    const std::string path = folder / "a.bin";
    io_check::write(path, of("old"));
    {
        atomic_file file(path);
        file.write("new", 3);
    }
    CHECK(io_check::read(path) == of("old"));
    CHECK_EQ(folder.files(), 1u);
    // What a killed process left is taken over, longer though it is.
    io_check::write(path + ".part", of("what a killed process left behind"));
    continual::write_text(path, "new");
    CHECK(io_check::read(path) == of("new"));
    CHECK_EQ(folder.files(), 1u);
}

TEST(two_writers_of_one_file_do_not_mix) {
    const folder folder;
    const std::string path = folder / "a.bin";
    atomic_file first(path);
    first.write("first", 5);
    CHECK_REFUSED(atomic_file second(path), "is being written");
    first.commit();
    continual::write_text(path, "second");
    CHECK(io_check::read(path) == of("second"));
    // Many at once: each either writes all of its text or is told.
    std::vector<std::thread> threads;
    std::vector<int> written(4);
    for (std::size_t t = 0; t < written.size(); t++) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; i++) {
                if (!io_check::refusal([&] { continual::write_text(path, std::string(5000, static_cast<char>('a' + t))); })) {
                    written[t]++;
                }
            }
        });
    }
    int total = 0;
    for (std::size_t t = 0; t < written.size(); t++) {
        threads[t].join();
        total += written[t];
    }
    const io_check::bytes last = io_check::read(path);
    CHECK(total > 0);
    CHECK(last == io_check::bytes(5000, last.at(0)));
    CHECK_EQ(folder.files(), 1u);
}

TEST(files_that_cannot_be_had_are_named) {
    const folder folder;
    CHECK_REFUSED(mapped_file(folder / "none"), "none: cannot be opened");
    CHECK_REFUSED(mapped_file(folder / "."), "is not a file");
    CHECK_REFUSED(atomic_file(folder / "no/such/folder/a"), "cannot be written");
    io_check::write(folder / "long", io_check::bytes(100));
    CHECK_REFUSED(continual::read_text(folder / "long", 99), "has 100 bytes");
    CHECK_EQ(continual::read_text(folder / "long", 100).size(), 100u);
    io_check::write(folder / "empty", {});
    CHECK_EQ(mapped_file(folder / "empty").bytes().size(), 0u);
}

TEST(mapped_file_knows_when_it_was_changed) {
    const folder folder;
    const std::string path = folder / "a.bin";
    io_check::write(path, of("0123456789"));
    mapped_file file(path);
    CHECK_EQ(std::string(file.bytes().begin(), file.bytes().end()), "0123456789");
    CHECK(!file.changed());
    continual::write_text(path, "9876543210");
    CHECK(file.changed());
    // The old bytes are still there: the mapping holds the file that was replaced.
    CHECK_EQ(std::string(file.bytes().begin(), file.bytes().end()), "0123456789");

    const mapped_file second(path);
    const mapped_file moved(mapped_file{path});
    CHECK(!second.changed() && !moved.changed());
    std::filesystem::resize_file(path, 5);
    CHECK(second.changed() && moved.changed());

    const mapped_file third(path);
    std::filesystem::remove(path);
    CHECK(third.changed());

    io_check::write(path, of("01234"));
    const mapped_file fourth(path);
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(2));
    CHECK(fourth.changed());
}

#if !defined(_WIN32)

TEST(file_that_cannot_grow_leaves_the_old_one) {
    const folder folder;
    const std::string path = folder / "a.bin";
    io_check::write(path, of("old"));
    // A limit on the size of files stands in for a full disk: the same call fails, with another number.
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit limit = before;
    limit.rlim_cur = 3 << 20;
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_REFUSED(continual::write_text(path, std::string(5 << 20, 'x')), "unharmed");
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(io_check::read(path) == of("old"));
    CHECK_EQ(folder.files(), 1u);
}

TEST(killed_writer_leaves_the_old_file_or_the_new_one) {
    const folder folder;
    const std::string path = folder / "a.bin";
    const std::string old(100000, 'o');
    continual::write_text(path, old);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        if (child == 0) {
            for (;;) {
                continual::write_text(path, std::string(100000, 'n'));
            }
        }
        usleep(static_cast<useconds_t>(500 + i * 700));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        const io_check::bytes now = io_check::read(path);
        CHECK(now == of(old) || now == io_check::bytes(100000, 'n'));
    }
    continual::write_text(path, "last");
    CHECK_EQ(folder.files(), 1u);
}

#endif

TEST(text_for_messages_is_made_harmless) {
    using continual::in_quotes;
    using continual::is_utf8;
    CHECK_EQ(in_quotes("blk.0"), "'blk.0'");
    CHECK_EQ(in_quotes("a\x1b[31m\n\xff"), "'a?[31m?" "?'");
    CHECK(is_utf8(in_quotes(std::string(1000, '\xc3'))));
    CHECK(in_quotes(std::string(1000, 'x')).size() < 100);
    for (const char * good : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        CHECK(is_utf8(good));
    }
    for (const char * bad : {"\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"}) {
        CHECK(!is_utf8(bad));
    }
}
