/** The template tag of examples/web-app: what comes from outside never becomes markup. */
import { html, toText } from '../../examples/web-app/html.ts';
import { sessionPage } from '../../examples/web-app/pages.ts';

const evil = `"><svg onload='alert(1)'>&`;

describe('the html tag', () => {
  it('escapes every value, in text and in attributes', () => {
    expect(toText(html`<a title="${evil}">${evil}</a>`)).toBe(
      '<a title="&quot;&gt;&lt;svg onload=&#39;alert(1)&#39;&gt;&amp;">&quot;&gt;&lt;svg onload=&#39;alert(1)&#39;&gt;&amp;</a>',
    );
  });

  it('keeps what it made itself, joins lists and prints nothing for undefined', () => {
    const items = ['a', '<b>'].map((item) => html`<li>${item}</li>`);
    expect(toText(html`<ul>${items}</ul>${undefined}${3}`)).toBe('<ul><li>a</li><li>&lt;b&gt;</li></ul>3');
  });

  it('takes nothing that came as JSON for its own work', () => {
    const forged = JSON.parse('{"markup":"<script>","description":"markup"}');
    expect(toText(html`<p>${forged}</p>`)).not.toContain('<script>');
  });
});

describe('the page of a signed-in person', () => {
  it('shows claims, notes and names as text, whatever they hold', () => {
    const claims = Buffer.from(JSON.stringify({ sub: evil, [evil]: { [evil]: evil } })).toString('base64url');
    const idToken = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.`;
    const tokens = { accessToken: evil.repeat(3), refreshToken: evil.repeat(3), idToken, subject: evil, name: evil };
    const client = { client_id: 'id', client_secret: 'the-secret-of-the-client' };
    const page = toText(
      sessionPage(
        {
          slug: 'acme',
          name: evil,
          issuer: 'https://issuer.example',
          redirect_uri: 'https://app.example/callback/acme',
          api: { audience: evil, scopes: [] },
          resource_server: client,
          ...client,
        },
        {
          tokens,
          previousRefreshToken: evil.repeat(3),
          apiTokens: tokens,
          lastAction: {
            title: evil,
            note: evil,
            refused: true,
            exchanges: [{ title: evil, request: evil, answer: evil }],
          },
        },
      ),
    );
    expect(page).not.toContain('<svg');
    expect(page).not.toContain("onload='");
    expect(page).not.toContain('the-secret-of-the-client');
    expect(page.match(/&lt;svg/g)?.length).toBeGreaterThan(10);
  });
});
