// JSON (RFC 8259), strictly: no comments, no trailing commas, no key twice, valid UTF-8 only, at most 64 levels
// and a million values, so that a hostile text can't take much more memory than it has bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace continual {

struct json_member;

// A value. Numbers that are whole and fit are integers; others are double.
class json {
public:
    enum class kind : uint8_t { null, boolean, integer, real, text, array, object };

    // Not inline: they need json_member, which holds a json.
    json();
    json(bool value);
    json(int32_t value);
    json(int64_t value);
    json(double value);
    json(const char * text);
    json(std::string text);
    json(std::string_view text);
    json(const json & other);
    json(json && other) noexcept;
    json & operator=(const json & other);
    json & operator=(json && other) noexcept;
    ~json();
    static json array();
    static json object();

    // name: of what is read, for messages. Throws error (failure::file) with the place of the first mistake.
    static json parse(std::string_view text, std::string_view name);
    // indent 0: on one line. Throws error (failure::argument) for a number that is not finite or text that is not UTF-8.
    std::string write(int indent) const;

    kind type() const noexcept { return kind_; }
    bool is_null() const noexcept { return kind_ == kind::null; }
    bool is_number() const noexcept { return kind_ == kind::integer || kind_ == kind::real; }

    // Of the matching kind only (number: either); otherwise false, 0, empty.
    bool boolean() const noexcept { return kind_ == kind::boolean && integer_ != 0; }
    int64_t integer() const noexcept { return kind_ == kind::integer ? integer_ : 0; }
    double number() const noexcept { return kind_ == kind::integer ? static_cast<double>(integer_) : real_; }
    const std::string & text() const noexcept { return text_; }
    const std::vector<json> & items() const noexcept { return items_; }
    const std::vector<json_member> & members() const noexcept { return members_; }

    // Null where this is no object or has no such member.
    const json * find(std::string_view key) const noexcept;

    // Of an array and an object. The key must be new.
    void push(json value);
    void set(std::string_view key, json value);

private:
    friend class json_parser;
    void write_to(std::string & out, int indent, int level) const;

    kind kind_ = kind::null;
    int64_t integer_ = 0;
    double real_ = 0;
    std::string text_;
    std::vector<json> items_;
    std::vector<json_member> members_;
};

struct json_member {
    std::string key;
    json value;
};

} // namespace continual
