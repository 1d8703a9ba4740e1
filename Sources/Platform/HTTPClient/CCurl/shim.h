#pragma once
#include <curl/curl.h>

// Variadic calls and macros around them, which Swift cannot call.
#undef curl_easy_setopt
#undef curl_multi_setopt
#undef curl_easy_getinfo

typedef size_t (*annals_curl_data)(char *bytes, size_t size, size_t count, void *context);
typedef curl_socket_t (*annals_curl_opener)(void *context, curlsocktype purpose, struct curl_sockaddr *address);
typedef int (*annals_curl_socket)(CURL *easy, curl_socket_t descriptor, int what, void *context, void *attached);
typedef int (*annals_curl_timer)(CURLM *multi, long milliseconds, void *context);

static inline CURLcode annals_curl_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode annals_curl_set_size(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode annals_curl_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode annals_curl_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode annals_curl_set_data(CURL *h, CURLoption o, annals_curl_data f) { return curl_easy_setopt(h, o, f); }
static inline CURLcode annals_curl_on_open(CURL *h, annals_curl_opener f, void *context) {
  curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, context);
  return curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, f);
}
static inline CURLMcode annals_curl_on_socket(CURLM *m, annals_curl_socket f, void *context) {
  curl_multi_setopt(m, CURLMOPT_SOCKETDATA, context);
  return curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, f);
}
static inline CURLMcode annals_curl_on_timer(CURLM *m, annals_curl_timer f, void *context) {
  curl_multi_setopt(m, CURLMOPT_TIMERDATA, context);
  return curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, f);
}
static inline CURLMcode annals_curl_limit(CURLM *m, CURLMoption o, long v) { return curl_multi_setopt(m, o, v); }
static inline CURLcode annals_curl_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode annals_curl_get_pointer(CURL *h, CURLINFO i, void **v) { return curl_easy_getinfo(h, i, v); }
