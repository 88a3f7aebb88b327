#include "base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/files.h"

namespace rooftune {

uint64_t xxh64(const void* data, size_t bytes, uint64_t seed) { return XXH64(data, bytes, seed); }

std::string to_hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  if (!impl_->context || EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) != 1)
    throw EnvironmentError("the OpenSSL on this machine offers no SHA-256");
}
Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t bytes) {
  if (bytes > 0) RT_CHECK(EVP_DigestUpdate(impl_->context, data, bytes) == 1);
}

std::string Sha256::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  RT_CHECK(EVP_DigestFinal_ex(impl_->context, digest, &length) == 1);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
  return hex;
}

std::string sha256(const void* data, size_t bytes) {
  Sha256 hash;
  hash.update(data, bytes);
  return hash.finish();
}

std::string sha256_file(const std::string& path) {
  const auto file = MappedFile::open(path);
  return sha256(file->data(), file->size());
}

}  // namespace rooftune
