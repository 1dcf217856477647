import { type CertifiedNames, namesSubject } from '#src/domain/certificate_subject.ts';

const names: CertifiedNames = {
  subject: 'C=NL\nO=Acme\\, Inc\nOU=Dépt \\+ x\nCN=client one',
  subjectAltName:
    'DNS:client.acme.test, URI:spiffe://acme.test/client, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1, email:ada@acme.test, DNS:"evil.test, DNS:bank.test"',
};

describe('a certificate', () => {
  it.each([
    ['tls_client_auth_subject_dn', 'CN=client one,OU=Dépt \\+ x,O=Acme\\, Inc,C=NL'],
    ['tls_client_auth_subject_dn', 'cn=client one,ou=D\\C3\\A9pt \\2B x,o=Acme\\2C Inc,c=NL'],
    ['tls_client_auth_san_dns', 'client.acme.test'],
    ['tls_client_auth_san_uri', 'spiffe://acme.test/client'],
    ['tls_client_auth_san_ip', '192.0.2.7'],
    ['tls_client_auth_san_ip', '2001:db8::1'],
    ['tls_client_auth_san_email', 'ada@acme.test'],
  ] as const)('names %s %s', (property, expected) => {
    expect(namesSubject(names, property, expected)).toBe(true);
  });

  it.each([
    // part of the name, another order, another case of a value, one more
    ['tls_client_auth_subject_dn', 'CN=client one'],
    ['tls_client_auth_subject_dn', 'C=NL,O=Acme\\, Inc,OU=Dépt \\+ x,CN=client one'],
    ['tls_client_auth_subject_dn', 'CN=Client One,OU=Dépt \\+ x,O=Acme\\, Inc,C=NL'],
    ['tls_client_auth_subject_dn', 'CN=client one,OU=Dépt \\+ x,O=Acme,O=Inc,C=NL'],
    ['tls_client_auth_subject_dn', 'CN=client one,OU=Dépt \\+ x,O=Acme\\, Inc,C=NL,DC=x'],
    ['tls_client_auth_subject_dn', ''],
    // what stands in quotes is one name, not two
    ['tls_client_auth_san_dns', 'bank.test'],
    ['tls_client_auth_san_dns', 'evil.test'],
    // no wildcard, no suffix, no other kind
    ['tls_client_auth_san_dns', 'acme.test'],
    ['tls_client_auth_san_dns', '*.acme.test'],
    ['tls_client_auth_san_dns', '192.0.2.7'],
    ['tls_client_auth_san_uri', 'client.acme.test'],
    ['tls_client_auth_san_ip', '192.0.2.70'],
    ['tls_client_auth_san_email', 'eve@acme.test'],
  ] as const)('does not name %s %s', (property, expected) => {
    expect(namesSubject(names, property, expected)).toBe(false);
  });

  it('without alternative names names none', () => {
    for (const property of ['tls_client_auth_san_dns', 'tls_client_auth_san_ip'] as const) {
      expect(namesSubject({ subject: 'CN=a', subjectAltName: undefined }, property, 'a')).toBe(false);
    }
  });
});
