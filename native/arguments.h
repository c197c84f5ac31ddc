#ifndef IVSHMEM_ARGUMENTS_H_
#define IVSHMEM_ARGUMENTS_H_

#include <napi.h>

#include <climits>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "error.h"

namespace ivshmem {

inline constexpr double kMaxSafeInteger = 9007199254740991.0;

/** An integer in [low, high]: TypeError when it is not an integer, RangeError when it is outside. */
inline double IntegerFrom(Napi::Env env, Napi::Value value, const char* name, double low, double high) {
  if (!value.IsNumber()) ThrowType(env, std::string(name) + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(std::trunc(number) == number) || std::isinf(number))
    ThrowType(env, std::string(name) + " must be an integer");
  if (number < low || number > high) {
    ThrowRange(env, std::string(name) + " is out of range: " + std::to_string(static_cast<int64_t>(number)));
  }
  return number;
}

/** Declarative argument checks: every accessor names the argument, converts it or throws
 * TypeError/RangeError. */
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  Napi::Env env() const { return info_.Env(); }

  double Integer(size_t index, const char* name, double low, double high) const {
    return IntegerFrom(env(), info_[index], name, low, high);
  }
  int Fd(size_t index, const char* name = "fd") const {
    return static_cast<int>(Integer(index, name, 0, INT_MAX));
  }
  int OptionalFd(size_t index, const char* name = "fd") const {
    return static_cast<int>(Integer(index, name, -1, INT_MAX));
  }
  uint32_t Uint32(size_t index, const char* name) const {
    return static_cast<uint32_t>(Integer(index, name, 0, UINT32_MAX));
  }
  uint64_t Size(size_t index, const char* name, uint64_t low = 0) const {
    return static_cast<uint64_t>(Integer(index, name, static_cast<double>(low), kMaxSafeInteger));
  }
  bool Bool(size_t index, const char* name) const {
    if (!info_[index].IsBoolean()) ThrowType(env(), std::string(name) + " must be a boolean");
    return info_[index].As<Napi::Boolean>().Value();
  }
  Napi::Function Function(size_t index, const char* name) const {
    if (!info_[index].IsFunction()) ThrowType(env(), std::string(name) + " must be a function");
    return info_[index].As<Napi::Function>();
  }
  /** 1 to `limit` bytes of UTF-8 without NUL: the kernel would silently cut the name there. */
  std::string Name(size_t index, const char* name, size_t limit) const {
    if (!info_[index].IsString()) ThrowType(env(), std::string(name) + " must be a string");
    std::string text = info_[index].As<Napi::String>().Utf8Value();
    if (text.find('\0') != std::string::npos) ThrowType(env(), std::string(name) + " must not contain NUL");
    if (text.empty() || text.size() > limit) {
      ThrowRange(env(), std::string(name) + " must have 1 to " + std::to_string(limit) + " bytes");
    }
    return text;
  }
  std::vector<double> Integers(size_t index, const char* name, size_t limit, double low, double high) const {
    if (!info_[index].IsArray()) ThrowType(env(), std::string(name) + " must be an array");
    const Napi::Array array = info_[index].As<Napi::Array>();
    const uint32_t length = array.Length();
    if (length > limit) ThrowRange(env(), std::string(name) + " has too many elements");
    std::vector<double> numbers;
    numbers.reserve(length);
    for (uint32_t i = 0; i < length; ++i) {
      Napi::HandleScope scope(env());
      numbers.push_back(IntegerFrom(env(), array.Get(i), name, low, high));
    }
    return numbers;
  }
  std::vector<int> Fds(size_t index, const char* name, size_t limit, int low) const {
    const std::vector<double> numbers = Integers(index, name, limit, low, INT_MAX);
    return std::vector<int>(numbers.begin(), numbers.end());
  }
  Napi::ArrayBuffer Buffer(size_t index, const char* name) const {
    if (!info_[index].IsArrayBuffer()) ThrowType(env(), std::string(name) + " must be an ArrayBuffer");
    return info_[index].As<Napi::ArrayBuffer>();
  }
  Napi::Value Raw(size_t index) const { return info_[index]; }

 private:
  const Napi::CallbackInfo& info_;
};

}  // namespace ivshmem

#endif  // IVSHMEM_ARGUMENTS_H_
