# Configures and builds continual_native once, however many builds ask at the same time.
#
#   cmake -DBUILD_DIR=... -DBUILD_TYPE=Debug|Release -P build.cmake
#
# On failure ${BUILD_DIR}/error.txt holds the cause and the way out; Native.targets makes it a build error.
cmake_minimum_required(VERSION 3.20)

get_filename_component(source "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
file(MAKE_DIRECTORY "${BUILD_DIR}")
set(error "${BUILD_DIR}/error.txt")

# The system lets go of it when the process ends, however it ends.
file(LOCK "${BUILD_DIR}/.lock" GUARD PROCESS TIMEOUT 600 RESULT_VARIABLE locked)
if(NOT locked EQUAL 0)
  file(WRITE "${error}" "Another build has held ${BUILD_DIR}/.lock for ten minutes (${locked}). End it and build again.")
  message(FATAL_ERROR "locked")
endif()
file(REMOVE "${error}")

# CMake's own output is long; its first error and the compiler's first are what the reader needs.
function(fail_with cause output)
  string(REGEX MATCHALL "[^\n]*(CMake Error|error:|error C[0-9]+|FAILED:)[^\n]*\n?[^\n]*" found "${output}")
  list(SUBLIST found 0 4 found)
  string(REPLACE "\n" " " found "${found}")
  file(WRITE "${error}" "${cause} CMake said: ${found}")
  message(FATAL_ERROR "${output}")
endfunction()

if(NOT EXISTS "${BUILD_DIR}/CMakeCache.txt")
  set(generator)
  find_program(ninja NAMES ninja ninja-build)
  if(ninja)
    set(generator -G Ninja)
  endif()
else()
  set(generator)
endif()
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${BUILD_DIR}" ${generator} "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}"
  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  # A half-made cache would repeat the failure after the compiler has been installed.
  file(REMOVE "${BUILD_DIR}/CMakeCache.txt")
  if(output MATCHES "No CMAKE_CXX?_COMPILER could be found|CMAKE_CXX?_COMPILER not set|is not a full path to an existing compiler|not able to compile a simple test program|not found in the PATH")
    fail_with("No working C++ compiler was found. Install one that knows C++20 (g++ 11 or later, clang 14 or later, or Visual Studio 2022's C++ tools), or name it in the environment variable CXX." "${output}")
  endif()
  fail_with("CMake could not configure native/." "${output}")
endif()

execute_process(
  COMMAND "${CMAKE_COMMAND}" --build "${BUILD_DIR}" --config "${BUILD_TYPE}" --target continual_native
  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  fail_with("continual_native did not compile." "${output}")
endif()
