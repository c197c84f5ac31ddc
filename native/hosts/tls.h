// TLS 1.3 with certificates on both sides, by the OpenSSL that Node brings along and exports.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "record_socket.h"

namespace ivshmem::hosts {

// PEM.
struct Identity {
  std::string certificate;  // and its chain
  std::string key;
  std::string authority;  // one or several
};

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslFree>;
using Ssl = std::unique_ptr<SSL, SslFree>;

// For both roles. Null, and `why` says what does not fit.
SslContext MakeContext(const Identity& identity, std::string& why);

// TLS over this socket, which stays where it is as long as `ssl` lives. False: there is no memory.
bool Attach(SSL* ssl, RecordSocket& socket);

// Whether the peer's certificate, which is valid, has this DNS name.
bool HasName(SSL* ssl, const std::string& name);

// What this thread's OpenSSL has to say about its last failure; forgets it.
std::string TlsReason(SSL* ssl);

}  // namespace ivshmem::hosts
