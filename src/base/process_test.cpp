#include "base/process.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/files.h"

namespace rooftune {
namespace {

TEST(Process, GivesItsStatusAndItsLastWords) {
  const TempDirectory work;
  const std::string log = work.file("log");
  const pid_t process =
      start_process({"/bin/sh", "-c", "echo one >&2; echo >&2; echo ' two ' >&2; exit 7"}, -1, -1, log);
  EXPECT_EQ(wait_for(process), 7);
  EXPECT_EQ(last_lines(read_file(log), 1), "two");
  EXPECT_EQ(last_lines(read_file(log), 2), "one / two");
  EXPECT_EQ(last_lines(read_file(log), 9), "one / two");
  EXPECT_EQ(last_lines("\n  \n", 3), "it ended without a word");
  EXPECT_EQ(last_lines("", 3), "it ended without a word");
}

TEST(Process, EndsWithWhatItStarted) {
  const TempDirectory work;
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const pid_t process = start_process({"/bin/sh", "-c", "sleep 100 & wait"}, -1, pipe[1], work.file("log"));
  ::close(pipe[1]);
  int status = 0;
  EXPECT_FALSE(has_ended(process, status));
  end_process(process);
  char byte = 0;
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0);  // nobody is left who could write
  ::close(pipe[0]);
}

TEST(Process, TellsTheSignalThatEndedIt) {
  const TempDirectory work;
  EXPECT_EQ(wait_for(start_process({"/bin/sh", "-c", "kill -TERM $$"}, -1, -1, work.file("log"))), 128 + SIGTERM);
}

TEST(Process, ThatCannotBeStarted) {
  const TempDirectory work;
  EXPECT_THROW(start_process({work.file("nothing")}, -1, -1, work.file("log")), EnvironmentError);
}

TEST(Process, FindsAPythonByItsPackages) {
  const TempDirectory work;
  const std::string chosen = work.file("python");
  write_file(chosen, "#!/bin/sh\n[ \"$3\" = wanted ]\n");
  ASSERT_EQ(::chmod(chosen.c_str(), 0755), 0);
  ::setenv("ROOFTUNE_TEST_PYTHON", chosen.c_str(), 1);
  EXPECT_EQ(python_with({"wanted"}, {"ROOFTUNE_TEST_NOTHING", "ROOFTUNE_TEST_PYTHON"}), chosen);
  EXPECT_EQ(python_with({"a_package_that_nobody_has"}, {"ROOFTUNE_TEST_PYTHON"}), "");
  ::unsetenv("ROOFTUNE_TEST_PYTHON");
}

}  // namespace
}  // namespace rooftune
