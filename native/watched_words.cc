#include "watched_words.h"

namespace ivshmem {

WatchedWords::WatchedWords(Napi::Int32Array array) : array_(Napi::Persistent(array.As<Napi::Object>())) {
  Refresh();
  if (length_ > 0) region_ = AddonData::From(array.Env()).FindRegion(words_);
}

void WatchedWords::Refresh() {
  if (pinned() || array_.IsEmpty()) return;
  words_ = nullptr;
  length_ = 0;
  const napi_env env = array_.Env();
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value array = nullptr;
  napi_typedarray_type type = napi_int8_array;
  void* data = nullptr;
  size_t length = 0;
  if (napi_get_reference_value(env, array_, &array) == napi_ok && array != nullptr &&
      napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) == napi_ok &&
      data != nullptr) {
    words_ = static_cast<int32_t*>(data);
    length_ = length;
  }
  napi_close_handle_scope(env, scope);
}

void WatchedWords::Reset() {
  words_ = nullptr;
  length_ = 0;
  array_.Reset();
  region_.reset();
}

}  // namespace ivshmem
