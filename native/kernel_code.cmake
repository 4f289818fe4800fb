# Puts PTX files into one C++ file (runtime/kernel_code.h).
#
#   cmake -DOUT=kernel_code.cpp "-DFILES=a.ptx|b.ptx" "-DABSENCE=why there are none" -P kernel_code.cmake
cmake_minimum_required(VERSION 3.20)

string(REPLACE "|" ";" files "${FILES}")
set(arrays "")
set(entries "")
set(count 0)
foreach(file IN LISTS files)
  # Bytes, since some compilers take no string of this length.
  file(READ "${file}" bytes HEX)
  string(LENGTH "${bytes}" size)
  math(EXPR size "${size} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  get_filename_component(name "${file}" NAME_WE)
  string(APPEND arrays "const char code_${count}[] = {\n${bytes}0};\n")
  string(APPEND entries "    {\"${name}\", code_${count}, ${size}},\n")
  math(EXPR count "${count} + 1")
endforeach()
if(count EQUAL 0)
  set(entries "    {nullptr, nullptr, 0},\n")
endif()
file(WRITE "${OUT}" "#include \"runtime/kernel_code.h\"

namespace continual {

namespace {

${arrays}
} // namespace

const kernel_code kernel_codes[] = {
${entries}};
const int32_t kernel_code_count = ${count};
const char * const kernel_code_absence = \"${ABSENCE}\";

} // namespace continual
")
