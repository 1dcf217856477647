/** A person as the REST API shows them to themselves, and the words for a password that cannot be had. */
import { z } from 'zod';
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import { displayName } from '#src/domain/user.ts';
import type { OwnProfile } from '#src/flows/people/own_profile.ts';

export const profileShape = z.object({
  id: z.uuid().describe('The `sub` of their tokens.'),
  email: z.string(),
  email_verified: z.boolean(),
  username: z.string().nullable(),
  name: z.string().nullable(),
  given_name: z.string().nullable(),
  family_name: z.string().nullable(),
  locale: z.enum(['nl', 'en']).nullable(),
  roles: z.array(z.string()),
  permissions: z.array(z.string()),
  member_since: z.iso.datetime(),
  deletion_due_at: z.iso.datetime().nullable(),
});

export function presentProfile(profile: OwnProfile): z.infer<typeof profileShape> {
  const { given_name: givenName, family_name: familyName } = profile;
  return {
    id: profile.id,
    email: profile.email,
    email_verified: profile.email_verified,
    username: profile.username,
    name: displayName({ givenName: givenName ?? undefined, familyName: familyName ?? undefined }) ?? null,
    given_name: givenName,
    family_name: familyName,
    locale: profile.locale,
    roles: [...profile.roles],
    permissions: [...profile.permissions],
    member_since: profile.member_since.toISOString(),
    deletion_due_at: profile.deletion_due_at?.toISOString() ?? null,
  };
}

/** Completes the sentence "The password …". */
export const passwordWords: Readonly<Record<PasswordRefusal | 'missing' | 'invalid', string>> = {
  missing: 'is missing',
  invalid: 'is none',
  too_short: 'is too short for this tenant',
  too_long: 'has more than 1024 bytes',
  forbidden_character: 'holds a character that no password can hold',
  composition: 'needs small and capital letters, and a digit or a sign',
  own_name: 'is made of the names of the person or the tenant',
  breached: 'was found in a list of stolen passwords',
  too_weak: 'is too easy to guess',
  used_before: 'was used before',
};
