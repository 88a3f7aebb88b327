#include "capi/rooftune.h"

int main(int argc, char** argv) { return rt_command_line(argc, argv); }
