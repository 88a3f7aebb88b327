// What the memory programs share: inputs that mean something, and the kernel's word on resident memory.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/// Floats in [-1, 1), or token numbers below 1000.
static void fill(void* data, size_t elements, int is_float) {
  uint32_t s = 12345;
  for (size_t i = 0; i < elements; i++) {
    s = s * 1664525u + 1013904223u;
    if (is_float) ((float*)data)[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    else ((int64_t*)data)[i] = (s >> 8) % 1000;
  }
}

static long status_kb(const char* field) {
  char line[256];
  long kb = -1;
  FILE* f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, field, strlen(field))) kb = strtol(line + strlen(field) + 1, NULL, 10);
  if (f) fclose(f);
  return kb;
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static void report(double load_ms, double first_ms, int runs) {
  printf(
      "{\"load_ms\": %.2f, \"first_ms\": %.2f, \"runs\": %d, \"rss_mb\": %.1f, \"file_mb\": %.1f, \"peak_mb\": %.1f}\n",
      load_ms, first_ms, runs, status_kb("VmRSS") / 1024.0, status_kb("RssFile") / 1024.0, status_kb("VmHWM") / 1024.0);
}
