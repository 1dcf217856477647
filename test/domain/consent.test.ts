import { isNothing, rememberedPart, resourceScope, rightsOf, splitResourceScope } from '#src/domain/consent.ts';

const nothing = { scopes: [], claims: [], resource_scopes: [] };
const agreed = {
  scopes: ['openid', 'email'],
  claims: ['birthdate'],
  resource_scopes: ['https://a.example read', 'https://a.example write'],
};

describe('what was agreed to before', () => {
  it('covers of a request what is in both, and never more than is asked for', () => {
    const asked = {
      scopes: ['openid', 'profile'],
      claims: ['birthdate', 'gender'],
      resource_scopes: ['https://a.example read', 'https://b.example read'],
    };
    expect(rememberedPart(asked, agreed)).toEqual({
      scopes: ['openid'],
      claims: ['birthdate'],
      resource_scopes: ['https://a.example read'],
    });
    expect(isNothing(rememberedPart(nothing, agreed))).toBe(true);
    expect(isNothing(rememberedPart(asked, nothing))).toBe(true);
    expect(isNothing(agreed)).toBe(false);
  });

  it('keeps a scope with the API it is of', () => {
    const text = resourceScope('https://a.example/v1', 'read');
    expect(splitResourceScope(text)).toEqual({ audience: 'https://a.example/v1', scope: 'read' });
  });

  it('is told in the words of the API, and by its name where there are none any more', () => {
    const apis = [{ audience: 'https://a.example', scopes: [{ name: 'read', description: 'Read it' }] }];
    expect(rightsOf(agreed, apis)).toEqual([
      { name: 'openid', description: undefined },
      { name: 'email', description: undefined },
      { name: 'birthdate', description: undefined },
      { name: 'read', description: 'Read it' },
      { name: 'write', description: undefined },
    ]);
  });
});
