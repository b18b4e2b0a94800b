// Goal: keys, hosts and origins are let in as docs/serving.md says.
#include "server/access.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

HttpRequest request(HttpHeaders headers) {
  HttpRequest out;
  out.headers = std::move(headers);
  return out;
}

TEST(Access, WithoutKeysEveryoneMay) {
  const Access access({});
  EXPECT_FALSE(access.check_key(request({})).has_value());
  EXPECT_EQ(access.partition(request({{"x-api-key", "a"}})), "");
}

TEST(Access, KeysDivideTheCache) {
  const Access access({.api_keys = {"a", "bb"}, .origins = {}, .loopback_only = true});
  EXPECT_EQ(access.check_key(request({}))->status, 401);
  EXPECT_EQ(access.check_key(request({{"Authorization", "Bearer b"}}))->status, 401);
  EXPECT_EQ(access.check_key(request({{"Authorization", "Basic a"}}))->status, 401);
  EXPECT_FALSE(access.check_key(request({{"Authorization", "BEARER bb"}})).has_value());
  EXPECT_NE(access.partition(request({{"x-api-key", "a"}})),
            access.partition(request({{"x-api-key", "bb"}})));
}

TEST(Access, HostsAndOrigins) {
  const Access home({.api_keys = {}, .origins = {"https://page"}, .loopback_only = true});
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", ""})
    EXPECT_FALSE(home.check_origin(request({{"Host", host}})).has_value()) << host;
  for (const char* host : {"evil", "localhost.evil:80", "[::2]", "1127.0.0.1", "127.evil"})
    EXPECT_TRUE(home.check_origin(request({{"Host", host}})).has_value()) << host;
  const Access open({.api_keys = {}, .origins = {}, .loopback_only = false});
  EXPECT_FALSE(open.check_origin(request({{"Host", "server"}})).has_value());
  EXPECT_FALSE(open.check_origin(request({{"Host", "server:8"}, {"Origin", "http://server:8"}}))
                   .has_value());
  EXPECT_TRUE(
      open.check_origin(request({{"Host", "server"}, {"Origin", "http://other"}})).has_value());
  EXPECT_FALSE(
      home.check_origin(request({{"Host", "localhost"}, {"Origin", "https://page"}})).has_value());
  EXPECT_TRUE(home.cors_headers(request({{"Origin", "https://other"}})).empty());
  EXPECT_FALSE(home.cors_headers(request({{"Origin", "https://page"}})).empty());
}

}  // namespace
}  // namespace fathom
