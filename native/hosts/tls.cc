#include "tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cerrno>

namespace ivshmem::hosts {

namespace {

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateFree {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Certificate = std::unique_ptr<X509, CertificateFree>;

// A key under a passphrase is refused: the default would ask at the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

std::unique_ptr<BIO, BioFree> Bytes(const std::string& text) {
  return std::unique_ptr<BIO, BioFree>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Calls `use` for every certificate; false: there is none, or one is not taken.
template <class Use>
bool EachCertificate(const std::string& text, Use use) {
  const auto bytes = Bytes(text);
  if (!bytes) return false;
  bool any = false;
  while (const Certificate certificate{PEM_read_bio_X509(bytes.get(), nullptr, NoPassphrase, nullptr)}) {
    if (!use(certificate.get(), !any)) return false;
    any = true;
  }
  // The end of the text is an error to it too.
  if (any) ERR_clear_error();
  return any;
}

bool UseCertificate(SSL_CTX* context, const std::string& text) {
  return EachCertificate(text, [&](X509* certificate, bool first) {
    return (first ? SSL_CTX_use_certificate(context, certificate)
                  : SSL_CTX_add1_chain_cert(context, certificate)) == 1;
  });
}

bool UseKey(SSL_CTX* context, const std::string& text) {
  const auto bytes = Bytes(text);
  const std::unique_ptr<EVP_PKEY, KeyFree> key(
      bytes ? PEM_read_bio_PrivateKey(bytes.get(), nullptr, NoPassphrase, nullptr) : nullptr);
  return key && SSL_CTX_use_PrivateKey(context, key.get()) == 1;
}

bool UseAuthority(SSL_CTX* context, const std::string& text) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  return EachCertificate(text, [&](X509* certificate, bool) {
    return X509_STORE_add_cert(store, certificate) == 1 && SSL_CTX_add_client_CA(context, certificate) == 1;
  });
}

RecordSocket& SocketOf(BIO* bio) { return *static_cast<RecordSocket*>(BIO_get_data(bio)); }

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

int ReadSocket(BIO* bio, char* to, int room) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = SocketOf(bio).Read(reinterpret_cast<std::byte*>(to), static_cast<size_t>(room));
  if (got < 0 && WouldBlock()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int WriteSocket(BIO* bio, const char* from, int count) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent =
      SocketOf(bio).Write(reinterpret_cast<const std::byte*>(from), static_cast<size_t>(count));
  if (sent < 0 && WouldBlock()) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long ControlSocket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return SocketOf(bio).ended() ? 1 : 0;
  // Nothing is kept back.
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// For the life of the process; null: there is no memory.
BIO_METHOD* SocketMethod() {
  BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ivshmem node");
  if (method == nullptr) return nullptr;
  BIO_meth_set_read(method, ReadSocket);
  BIO_meth_set_write(method, WriteSocket);
  BIO_meth_set_ctrl(method, ControlSocket);
  return method;
}

}  // namespace

SslContext MakeContext(const Identity& identity, std::string& why) {
  ERR_clear_error();
  SslContext context(SSL_CTX_new(TLS_method()));
  const auto failed = [&](const char* what) {
    const std::string reason = TlsReason(nullptr);
    why = reason.empty() ? what : std::string(what) + ": " + reason;
    return nullptr;
  };
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1) return failed("TLS 1.3");
  // The faster one first, which is strong enough: pages come no faster than one processor encrypts them.
  constexpr char kSuites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
  if (SSL_CTX_set_ciphersuites(context.get(), kSuites) != 1) return failed("cipher suites");
  if (!UseCertificate(context.get(), identity.certificate)) return failed("certificate");
  if (!UseKey(context.get(), identity.key)) return failed("key");
  if (SSL_CTX_check_private_key(context.get()) != 1) return failed("key and certificate");
  if (!UseAuthority(context.get(), identity.authority)) return failed("authority");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Every connection is made with certificates: none is resumed from what an earlier one left.
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // Reading ahead is RecordSocket's.
  SSL_CTX_set_mode(context.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A record without data (another key, a ticket) ends the call: a peer that sends no others holds nobody up.
  SSL_CTX_clear_mode(context.get(), SSL_MODE_AUTO_RETRY);
  return context;
}

bool Attach(SSL* ssl, RecordSocket& socket) {
  static BIO_METHOD* const method = SocketMethod();
  BIO* const bio = method == nullptr ? nullptr : BIO_new(method);
  if (bio == nullptr) return false;
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  // For both directions, and once owned.
  SSL_set_bio(ssl, bio, bio);
  return true;
}

bool HasName(SSL* ssl, const std::string& name) {
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) return false;
  constexpr unsigned kFlags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
  return X509_check_host(certificate.get(), name.data(), name.size(), kFlags, nullptr) == 1;
}

std::string TlsReason(SSL* ssl) {
  std::string reason;
  const long verified = ssl == nullptr ? X509_V_OK : SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) reason = X509_verify_cert_error_string(verified);
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  if (text != nullptr) reason += (reason.empty() ? "" : ", ") + std::string(text);
  ERR_clear_error();
  return reason;
}

}  // namespace ivshmem::hosts
