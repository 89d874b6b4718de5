/* test_tls.c: certificates that are made, kept and shown, and contexts that take nothing else.
 *
 * Why 300 certificates are made and read byte by byte: a serial number is eight random bytes, of which the
 * top bit was cleared so that the number is positive. In one of 128 the first byte was zero thereafter, and
 * in half of these the next one had its top bit clear: an INTEGER with a leading zero byte that it does not
 * need, which DER forbids (X.690, 8.3.2). OpenSSL writes such bytes as they were set, signs them, and uses
 * the certificate that it holds in memory; but it does not read them. So the server started and listened as
 * ever, and at one start of 256 every client refused the handshake ("illegal padding") until the next start,
 * when it was gone; or, with a data directory, the server could not read its own file any more. Nobody would
 * have found that by trying once. It takes many certificates, and a reader that forgives nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/tls.h"

#include <ctype.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERTIFICATES 300

static char dir[] = "/tmp/test_tls_XXXXXX";

/* ---- a reader of DER that forgives nothing: NULL, or what is wrong ---- */

struct element {
    unsigned tag; /* class, constructed and number, as the byte is */
    const unsigned char *data;
    size_t len;
};

static const char *check_elements(const unsigned char *p, size_t len);

/* Takes one element from *p; moves *p behind it. */
static const char *take(const unsigned char **p, size_t *left, struct element *e)
{
    const unsigned char *at = *p;
    size_t head = 2;

    if (*left < 2)
        return "ends inside a head";
    e->tag = at[0];
    if ((e->tag & 0x1f) == 0x1f)
        return "a tag number that certificates do not use";
    e->len = at[1];
    if (at[1] >= 0x80) {
        size_t count = at[1] & 0x7fU;

        if (count == 0 || count > 2 || *left < 2 + count)
            return "an indefinite or overlong length";
        e->len = 0;
        for (size_t i = 0; i < count; i++)
            e->len = e->len << 8 | at[2 + i];
        head += count;
        if (e->len < 0x80 || (count == 2 && e->len < 0x100))
            return "a length that is not the shortest";
    }
    if (e->len > *left - head)
        return "longer than what it is in";
    e->data = at + head;
    *p = e->data + e->len;
    *left -= head + e->len;
    return NULL;
}

static const char *check_integer(const struct element *e)
{
    if (e->len == 0)
        return "an integer of no bytes";
    if (e->len > 1 &&
        ((e->data[0] == 0x00 && e->data[1] < 0x80) || (e->data[0] == 0xff && e->data[1] >= 0x80)))
        return "an integer with a leading byte that it does not need";
    return NULL;
}

static const char *check_bits(const struct element *e)
{
    if (e->len == 0 || e->data[0] > 7 || (e->len == 1 && e->data[0] != 0))
        return "a bit string without a good count of unused bits";
    return (e->data[e->len - 1] & ((1U << e->data[0]) - 1)) != 0 && e->len > 1 ? "unused bits that are set"
                                                                               : NULL;
}

static const char *check_oid(const struct element *e)
{
    bool is_start = true;

    if (e->len == 0 || e->data[e->len - 1] >= 0x80)
        return "an object identifier that does not end";
    for (size_t i = 0; i < e->len; i++) {
        if (is_start && e->data[i] == 0x80)
            return "an object identifier with a leading zero";
        is_start = e->data[i] < 0x80;
    }
    return NULL;
}

static const char *check_time(const struct element *e, size_t digits)
{
    if (e->len != digits + 1 || e->data[digits] != 'Z')
        return "a time that is not whole seconds of UTC";
    for (size_t i = 0; i < digits; i++)
        if (!isdigit(e->data[i]))
            return "a time that is no number";
    return digits == 14 && memcmp(e->data, "2050", 4) < 0 ? "a year before 2050 in the long form" : NULL;
}

static const char *check_set(const struct element *e)
{
    const unsigned char *p = e->data, *last = NULL;
    size_t left = e->len, last_len = 0;

    while (left > 0) {
        const unsigned char *start = p;
        struct element inner;
        const char *wrong = take(&p, &left, &inner);
        size_t len = (size_t)(p - start);

        if (wrong != NULL)
            return wrong;
        if (last != NULL && memcmp(last, start, last_len < len ? last_len : len) > 0)
            return "a set that is not sorted";
        last = start, last_len = len;
    }
    return check_elements(e->data, e->len);
}

static const char *check_element(const struct element *e)
{
    switch (e->tag) {
    case 0x01:
        return e->len == 1 && e->data[0] == 0xff ? NULL
                                                 : "a boolean that is not TRUE, which alone has to be said";
    case 0x02:
        return check_integer(e);
    case 0x03:
        return check_bits(e);
    case 0x05:
        return e->len == 0 ? NULL : "a null with something in it";
    case 0x06:
        return check_oid(e);
    case 0x04:
    case 0x0c:
    case 0x13:
        return NULL;
    case 0x17:
        return check_time(e, 12);
    case 0x18:
        return check_time(e, 14);
    case 0x31:
        return check_set(e);
    default:
        if (e->tag & 0x20)
            return check_elements(e->data, e->len);
        return (e->tag & 0xc0) == 0x80 ? NULL : "a type that certificates do not use";
    }
}

static const char *check_elements(const unsigned char *p, size_t left)
{
    while (left > 0) {
        struct element e;
        const char *wrong = take(&p, &left, &e);

        wrong = wrong != NULL ? wrong : check_element(&e);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

/* The reader must find the fault that it was written for, or it proves nothing. */
static void test_the_reader_itself(void **state)
{
    static const struct {
        const char *der;
        size_t len;
        bool is_good;
    } cases[] = {
        {"\x02\x01\x00", 3, true},
        {"\x02\x02\x00\x80", 4, true},
        {"\x02\x02\x00\x7f", 4, false},
        {"\x02\x02\xff\x7f", 4, true},
        {"\x02\x02\xff\x80", 4, false},
        {"\x02\x00", 2, false},
        {"\x01\x01\xff", 3, true},
        {"\x01\x01\x01", 3, false},
        {"\x01\x01\x00", 3, false},
        {"\x04\x81\x01x", 4, false},
        {"\x04\x80x\x00\x00", 5, false},
        {"\x04\x05x", 3, false},
        {"\x03\x02\x04\xf0", 4, true},
        {"\x03\x02\x04\xf8", 4, false},
        {"\x06\x03\x55\x04\x03", 5, true},
        {"\x06\x03\x55\x80\x03", 5, false},
        {"\x06\x02\x55\x84", 4, false},
        {"\x30\x03\x02\x01\x05", 5, true},
        {"\x30\x03\x02\x01\x05\x00", 6, false},
        {"\x02\x08\x00\x7f\x01\x02\x03\x04\x05\x06", 10, false}, /* the serial number of the story above */
        {"\x31\x06\x02\x01\x05\x02\x01\x06", 8, true},
        {"\x31\x06\x02\x01\x06\x02\x01\x05", 8, false},
        {"\x17\x0d"
         "261123184701Z",
         15, true},
        {"\x17\x0b"
         "2611231847Z",
         13, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((check_elements((const unsigned char *)cases[i].der, cases[i].len) == NULL) != cases[i].is_good)
            fail_msg("case %zu", i);
}

/* ---- what is made ---- */

static SSL_CTX *make(const char *where)
{
    char err[TLS_ERROR_SIZE] = "";
    SSL_CTX *ctx = tls_new_server(NULL, NULL, &(struct tls_own){.dir = where}, 0, err);

    if (ctx == NULL)
        fail_msg("%s", err);
    return ctx;
}

static void need(const char *wrong)
{
    if (wrong != NULL)
        fail_msg("%s", wrong);
}

/* Goes down to the serial number: Certificate, TBSCertificate, [0] version, serialNumber. */
static struct element find_serial(const unsigned char *der, size_t len)
{
    struct element e;
    const unsigned char *p = der;

    need(take(&p, &len, &e));
    p = e.data, len = e.len;
    need(take(&p, &len, &e));
    p = e.data, len = e.len;
    need(take(&p, &len, &e));
    assert_int_equal(e.tag, 0xa0);
    assert_memory_equal(e.data, "\x02\x01\x02", 3); /* version 3 */
    need(take(&p, &len, &e));
    assert_int_equal(e.tag, 0x02);
    return e;
}

/* What strings hold that are DER inside: the extensions' values and the signature. */
static void check_inner(X509 *cert)
{
    const ASN1_BIT_STRING *signature;
    const X509_ALGOR *how;

    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert, i));

        need(check_elements(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
    }
    X509_get0_signature(&signature, &how, cert);
    need(check_elements(ASN1_STRING_get0_data(signature), (size_t)ASN1_STRING_length(signature)));
}

static void check_der(X509 *cert, unsigned char serial[8])
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    struct element e;

    assert_true(len > 0);
    need(check_elements(der, (size_t)len));
    e = find_serial(der, (size_t)len);
    assert_int_equal(e.len, 8);
    assert_in_range(e.data[0], 0x40,
                    0x7f); /* a bit that is always set: neither negative nor a zero in front */
    memcpy(serial, e.data, 8);
    check_inner(cert);
    OPENSSL_free(der);
}

static void check_promises(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);

    assert_int_equal(X509_verify(cert, key), 1);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_true(X509_cmp_current_time(X509_get0_notBefore(cert)) < 0);
    assert_true(X509_cmp_current_time(X509_get0_notAfter(cert)) > 0);
}

static void test_many_certificates(void **state)
{
    static unsigned char serials[CERTIFICATES][8];

    (void)state;
    for (size_t i = 0; i < CERTIFICATES; i++) {
        SSL_CTX *ctx = make(NULL);

        check_der(SSL_CTX_get0_certificate(ctx), serials[i]);
        if (i < 3)
            check_promises(SSL_CTX_get0_certificate(ctx));
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(serials[i], serials[k], 8);
        SSL_CTX_free(ctx);
    }
}

static void test_fingerprint(void **state)
{
    char out[TLS_FINGERPRINT_SIZE], again[TLS_FINGERPRINT_SIZE], expected[TLS_FINGERPRINT_SIZE] = "SHA256:";
    unsigned char *der = NULL, digest[32];
    SSL_CTX *ctx = make(NULL);
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    int len = i2d_X509(cert, &der);

    (void)state;
    assert_true(EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL));
    for (size_t i = 0; i < 32; i++)
        sprintf(expected + strlen(expected), i > 0 ? ":%02x" : "%02x", digest[i]);
    tls_fingerprint(cert, out);
    tls_fingerprint(cert, again);
    assert_string_equal(out, expected);
    assert_string_equal(out, again);
    assert_int_equal(strlen(out), 7 + 32 * 3 - 1);
    OPENSSL_free(der);
    SSL_CTX_free(ctx);
}

/* ---- what is kept ---- */

static const char *in_dir(const char *name)
{
    static char paths[2][128];
    static int turn;

    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", dir, name);
    return paths[turn];
}

static void assert_mode_0600(const char *path)
{
    struct stat s;

    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
}

static void test_kept_and_found_again(void **state)
{
    char first[TLS_FINGERPRINT_SIZE], second[TLS_FINGERPRINT_SIZE];
    mode_t old = umask(0);
    SSL_CTX *ctx = make(dir);

    (void)state;
    umask(old);
    tls_fingerprint(SSL_CTX_get0_certificate(ctx), first);
    SSL_CTX_free(ctx);
    assert_mode_0600(in_dir("chatd.crt"));
    assert_mode_0600(in_dir("chatd.key"));
    ctx = make(dir);
    tls_fingerprint(SSL_CTX_get0_certificate(ctx), second);
    SSL_CTX_free(ctx);
    assert_string_equal(first, second);
}

/* A start that was killed between the two files leaves one: then a new pair is made. */
static void test_half_a_pair(void **state)
{
    char first[TLS_FINGERPRINT_SIZE], second[TLS_FINGERPRINT_SIZE];
    SSL_CTX *ctx = make(dir);

    (void)state;
    tls_fingerprint(SSL_CTX_get0_certificate(ctx), first);
    SSL_CTX_free(ctx);
    assert_int_equal(unlink(in_dir("chatd.crt")), 0);
    ctx = make(dir);
    tls_fingerprint(SSL_CTX_get0_certificate(ctx), second);
    assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
    SSL_CTX_free(ctx);
    assert_string_not_equal(first, second);
    ctx = make(dir);
    tls_fingerprint(SSL_CTX_get0_certificate(ctx), first);
    SSL_CTX_free(ctx);
    assert_string_equal(first, second);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void refuse(const char *cert, const char *key, const char *where, const char *says)
{
    char err[TLS_ERROR_SIZE] = "";

    assert_null(tls_new_server(cert, key, &(struct tls_own){.dir = where}, 0, err));
    if (strstr(err, says) == NULL || strchr(err, '\n') != NULL)
        fail_msg("\"%s\" does not say \"%s\"", err, says);
}

static void test_files_that_cannot_be_used(void **state)
{
    char other[128], err[TLS_ERROR_SIZE] = "";
    SSL_CTX *ctx = make(dir), *second;

    (void)state;
    SSL_CTX_free(ctx);
    write_text(in_dir("rubbish"), "rubbish\n");
    refuse(in_dir("none"), in_dir("chatd.key"), NULL, "none");
    refuse(in_dir("rubbish"), in_dir("chatd.key"), NULL, "rubbish");
    refuse(in_dir("chatd.crt"), in_dir("rubbish"), NULL, "rubbish");
    refuse(NULL, NULL, "/proc/no/such/dir", "/proc/no/such/dir");
    assert_null(tls_new_client(in_dir("rubbish"), err));
    assert_non_null(strstr(err, "rubbish"));
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(mkdir(other, 0700), 0);
    second = make(other);
    SSL_CTX_free(second);
    refuse(in_dir("chatd.crt"), in_dir("other/chatd.key"), NULL,
           "other/chatd.key"); /* of another certificate */
    unlink(in_dir("other/chatd.crt"));
    unlink(in_dir("other/chatd.key"));
    rmdir(other);
    unlink(in_dir("rubbish"));
}

static void test_its_own_issuer_is_believed(void **state)
{
    char err[TLS_ERROR_SIZE] = "";
    SSL_CTX *server = make(dir), *client = tls_new_client(in_dir("chatd.crt"), err);
    X509_STORE_CTX *store = X509_STORE_CTX_new();

    (void)state;
    assert_non_null(client);
    assert_int_equal(
        X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(client), SSL_CTX_get0_certificate(server), NULL),
        1);
    assert_int_equal(X509_verify_cert(store), 1);
    X509_STORE_CTX_free(store);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(in_dir("chatd.crt"));
    unlink(in_dir("chatd.key"));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_reader_itself),
        cmocka_unit_test(test_many_certificates),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_kept_and_found_again),
        cmocka_unit_test(test_half_a_pair),
        cmocka_unit_test(test_files_that_cannot_be_used),
        cmocka_unit_test(test_its_own_issuer_is_believed),
    };

    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
