#include "io/json.h"

#include "io_check.h"

#include <limits>

using continual::json;

namespace {

json parse(std::string_view text) {
    return json::parse(text, "test");
}

std::string again(std::string_view text) {
    return parse(text).write(0);
}

} // namespace

TEST(json_reads_every_kind_of_value) {
    const json value = parse(" {\"a\": [1, -2.5e3, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\\/\"], \"b\": {}, \"c\": [] , \"d\": 9223372036854775807 }\r\n");
    const std::vector<json> & items = value.find("a")->items();
    CHECK_EQ(items.size(), 6u);
    CHECK_EQ(items[0].integer(), 1);
    CHECK(items[1].type() == json::kind::real);
    CHECK_EQ(items[1].number(), -2500.0);
    CHECK(items[2].boolean() && !items[3].boolean() && items[4].is_null());
    CHECK_EQ(items[5].text(), "x\xc3\xa9\xf0\x9f\x98\x80\n/");
    CHECK(value.find("b")->type() == json::kind::object);
    CHECK_EQ(value.find("d")->integer(), INT64_MAX);
    CHECK(value.find("e") == nullptr);
    CHECK(parse("9223372036854775808").type() == json::kind::real);
    CHECK_EQ(parse("5").number(), 5.0);
}

TEST(json_comes_back_as_it_was_written) {
    for (const char * text : {"{\"a\":[1,-2,0.1,1e+300,true,false,null,\"\"],\"b\":{\"c\":[]}}", "\"\\\"\\\\\\n\\u0001\xc3\xa9\"", "[]", "2.0", "-9223372036854775808", "0.30000000000000004"}) {
        CHECK_EQ(again(text), text);
    }
    CHECK_EQ(parse("{\"a\":[1,{}],\"b\":2}").write(2), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": 2\n}");
    CHECK_REFUSED(json(std::numeric_limits<double>::quiet_NaN()).write(0), "no infinity");
    CHECK_REFUSED(json("\xff").write(0), "UTF-8");
}

TEST(json_refuses_what_is_not_json) {
    for (const char * text : {"", " ", "{", "}", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{'a':1}", "[1 2]", "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN",
                              "Infinity", "tru", "nulll", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "1 2",
                              "// a\n1", "\"\xff\"", "\xef\xbb\xbf{}", "\"\\", "[\"\\u", "1e999"}) {
        if (!io_check::refusal([&] { parse(text); })) {
            continual_tests::report(__FILE__, __LINE__, std::string("read: ") + text);
        }
    }
    CHECK_REFUSED(parse(std::string_view("[1,\0]", 5)), "byte 3");
    CHECK_REFUSED(parse("{\"a\":1,\"b\":2,\"a\":3}"), "the key 'a' is there twice");
    CHECK_REFUSED(parse(std::string(100000, '[')), "64 deep");
    const std::string deep = std::string(65, '[') + std::string(65, ']');
    CHECK(!io_check::refusal([&] { parse(deep); }));
    CHECK_REFUSED(parse("[" + deep + "]"), "64 deep");
    std::string many = "[0";
    for (int i = 0; i < 1 << 20; i++) {
        many += ",0";
    }
    CHECK_REFUSED(parse(many + "]"), "a million values");
}

TEST(json_survives_mutations) {
    const io_check::bytes original = io_check::of("{\"a\": [1, -2.5e3, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\"], \"b\": {\"c\": {\"d\": [[[]]]}}, \"e\": 1234567890123}");
    std::mt19937 random(5);
    int read = 0;
    for (int i = 0; i < 20000; i++) {
        const io_check::bytes text = io_check::mutated(original, random);
        // What is read can be written, and read again as the same.
        const auto message = io_check::refusal([&] {
            const std::string written = parse({reinterpret_cast<const char *>(text.data()), text.size()}).write(0);
            CHECK_EQ(again(written), written);
            read++;
        });
        CHECK(!message || message->find("test") == 0);
    }
    CHECK(read > 100 && read < 19000);
}
