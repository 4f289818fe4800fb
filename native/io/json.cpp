#include "io/json.h"

#include "io/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace continual {

namespace {

constexpr int deepest = 64;
constexpr int most_values = 1 << 20;

void write_text_to(std::string & out, std::string_view text) {
    if (!is_utf8(text)) {
        throw error(failure::argument, "text for JSON is not UTF-8: " + in_quotes(text));
    }
    static constexpr char digits[] = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (static_cast<uint8_t>(c) < 0x20) {
            out += "\\u00";
            out += digits[c >> 4];
            out += digits[c & 15];
        } else {
            out += c;
        }
    }
    out += '"';
}

void append_utf8(std::string & out, uint32_t code) {
    const auto put = [&](uint32_t byte) { out += static_cast<char>(static_cast<uint8_t>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    }
}

} // namespace

class json_parser {
public:
    json_parser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

    json whole() {
        if (!is_utf8(text_)) {
            refuse(name_, "is not JSON: it is not UTF-8");
        }
        json result = value(0);
        space();
        if (at_ != text_.size()) {
            mistake("there is more after the value");
        }
        return result;
    }

private:
    [[noreturn]] void mistake(const std::string & what) const { refuse(name_, "is not JSON: " + what + ", at byte " + std::to_string(at_)); }

    void space() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
            at_++;
        }
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool skip(char c) {
        space();
        if (peek() != c || at_ == text_.size()) {
            return false;
        }
        at_++;
        return true;
    }

    bool skip_word(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) {
            return false;
        }
        at_ += word.size();
        return true;
    }

    json value(int depth) {
        if (depth > deepest) {
            mistake("it is nested more than 64 deep");
        }
        if (++values_ > most_values) {
            mistake("it holds more than a million values");
        }
        space();
        switch (peek()) {
        case '{':
            return object(depth);
        case '[':
            return array(depth);
        case '"':
            return json(string());
        case 't':
            if (skip_word("true")) {
                return json(true);
            }
            break;
        case 'f':
            if (skip_word("false")) {
                return json(false);
            }
            break;
        case 'n':
            if (skip_word("null")) {
                return json();
            }
            break;
        default:
            if (peek() == '-' || (peek() >= '0' && peek() <= '9')) {
                return number();
            }
            break;
        }
        mistake("a value is expected");
    }

    json object(int depth) {
        json result = json::object();
        at_++;
        if (skip('}')) {
            return result;
        }
        do {
            space();
            if (peek() != '"') {
                mistake("a key is expected");
            }
            std::string key = string();
            if (!skip(':')) {
                mistake("':' is expected");
            }
            json inner = value(depth + 1);
            result.members_.push_back({std::move(key), std::move(inner)});
        } while (skip(','));
        if (!skip('}')) {
            mistake("',' or '}' is expected");
        }
        // Looked for at the end, by sorting: one by one would take quadratic time.
        std::vector<std::string_view> keys;
        keys.reserve(result.members_.size());
        for (const json_member & member : result.members_) {
            keys.push_back(member.key);
        }
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice != keys.end()) {
            mistake("the key " + in_quotes(*twice) + " is there twice");
        }
        return result;
    }

    json array(int depth) {
        json result = json::array();
        at_++;
        if (skip(']')) {
            return result;
        }
        do {
            result.items_.push_back(value(depth + 1));
        } while (skip(','));
        if (!skip(']')) {
            mistake("',' or ']' is expected");
        }
        return result;
    }

    uint32_t hexadecimal() {
        uint32_t code = 0;
        const char * const first = text_.data() + at_;
        const auto [end, status] = std::from_chars(first, first + std::min<std::size_t>(4, text_.size() - at_), code, 16);
        if (status != std::errc() || end != first + 4) {
            mistake("four hexadecimal digits are expected");
        }
        at_ += 4;
        return code;
    }

    std::string string() {
        std::string result;
        at_++;
        for (;;) {
            if (at_ == text_.size()) {
                mistake("a text has no end");
            }
            const char c = text_[at_++];
            if (c == '"') {
                return result;
            }
            if (static_cast<uint8_t>(c) < 0x20) {
                mistake("a control character stands in a text");
            }
            if (c != '\\') {
                result += c;
                continue;
            }
            const char escaped = peek();
            at_ += at_ < text_.size() ? 1 : 0;
            switch (escaped) {
            case '"':
            case '\\':
            case '/':
                result += escaped;
                break;
            case 'b':
                result += '\b';
                break;
            case 'f':
                result += '\f';
                break;
            case 'n':
                result += '\n';
                break;
            case 'r':
                result += '\r';
                break;
            case 't':
                result += '\t';
                break;
            case 'u': {
                uint32_t code = hexadecimal();
                if (code >= 0xd800 && code <= 0xdbff) {
                    if (!skip_word("\\u")) {
                        mistake("half of a surrogate pair stands alone");
                    }
                    const uint32_t second = hexadecimal();
                    if (second < 0xdc00 || second > 0xdfff) {
                        mistake("half of a surrogate pair stands alone");
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
                } else if (code >= 0xdc00 && code <= 0xdfff) {
                    mistake("half of a surrogate pair stands alone");
                }
                append_utf8(result, code);
                break;
            }
            default:
                mistake("an unknown escape stands in a text");
            }
        }
    }

    std::size_t digits() {
        const std::size_t start = at_;
        while (peek() >= '0' && peek() <= '9') {
            at_++;
        }
        return at_ - start;
    }

    json number() {
        const std::size_t start = at_;
        at_ += peek() == '-' ? 1 : 0;
        const bool zero = peek() == '0';
        const std::size_t whole = digits();
        bool real = false;
        bool good = whole > 0 && !(zero && whole > 1);
        if (good && peek() == '.') {
            real = true;
            at_++;
            good = digits() > 0;
        }
        if (good && (peek() == 'e' || peek() == 'E')) {
            real = true;
            at_++;
            at_ += peek() == '+' || peek() == '-' ? 1 : 0;
            good = digits() > 0;
        }
        if (!good) {
            mistake("a number is malformed");
        }
        const char * const first = text_.data() + start;
        const char * const last = text_.data() + at_;
        if (!real) {
            int64_t value = 0;
            if (std::from_chars(first, last, value).ec == std::errc()) {
                return json(value);
            }
        }
        double value = 0;
        if (std::from_chars(first, last, value).ec != std::errc()) {
            mistake("a number is too large or too small");
        }
        return json(value);
    }

    std::string_view text_;
    std::string_view name_;
    std::size_t at_ = 0;
    int values_ = 0;
};

json::json() = default;
json::json(bool value) : kind_(kind::boolean), integer_(value ? 1 : 0) {}
json::json(int32_t value) : kind_(kind::integer), integer_(value) {}
json::json(int64_t value) : kind_(kind::integer), integer_(value) {}
json::json(double value) : kind_(kind::real), real_(value) {}
json::json(const char * text) : kind_(kind::text), text_(text) {}
json::json(std::string text) : kind_(kind::text), text_(std::move(text)) {}
json::json(std::string_view text) : kind_(kind::text), text_(text) {}
json::json(const json & other) = default;
json::json(json && other) noexcept = default;
json & json::operator=(const json & other) = default;
json & json::operator=(json && other) noexcept = default;
json::~json() = default;

json json::array() {
    json result;
    result.kind_ = kind::array;
    return result;
}

json json::object() {
    json result;
    result.kind_ = kind::object;
    return result;
}

json json::parse(std::string_view text, std::string_view name) {
    return json_parser(text, name).whole();
}

const json * json::find(std::string_view key) const noexcept {
    for (const json_member & member : members_) {
        if (member.key == key) {
            return &member.value;
        }
    }
    return nullptr;
}

void json::push(json value) {
    items_.push_back(std::move(value));
}

void json::set(std::string_view key, json value) {
    members_.push_back({std::string(key), std::move(value)});
}

std::string json::write(int indent) const {
    std::string out;
    write_to(out, indent, 0);
    return out;
}

void json::write_to(std::string & out, int indent, int level) const {
    const auto line = [&](int depth) {
        if (indent > 0) {
            out += '\n';
            out.append(static_cast<std::size_t>(indent * depth), ' ');
        }
    };
    switch (kind_) {
    case kind::null:
        out += "null";
        break;
    case kind::boolean:
        out += integer_ != 0 ? "true" : "false";
        break;
    case kind::integer:
        out += std::to_string(integer_);
        break;
    case kind::real: {
        if (!std::isfinite(real_)) {
            throw error(failure::argument, "JSON has no infinity and no NaN");
        }
        char buffer[32];
        const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, real_);
        const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
        out += text;
        // A real stays one when it is read again.
        out += text.find_first_of(".e") == std::string_view::npos ? ".0" : "";
        break;
    }
    case kind::text:
        write_text_to(out, text_);
        break;
    case kind::array:
        out += '[';
        for (std::size_t i = 0; i < items_.size(); i++) {
            out += i > 0 ? "," : "";
            line(level + 1);
            items_[i].write_to(out, indent, level + 1);
        }
        if (!items_.empty()) {
            line(level);
        }
        out += ']';
        break;
    case kind::object:
        out += '{';
        for (std::size_t i = 0; i < members_.size(); i++) {
            out += i > 0 ? "," : "";
            line(level + 1);
            write_text_to(out, members_[i].key);
            out += indent > 0 ? ": " : ":";
            members_[i].value.write_to(out, indent, level + 1);
        }
        if (!members_.empty()) {
            line(level);
        }
        out += '}';
        break;
    }
}

} // namespace continual
