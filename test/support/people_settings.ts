/** What holds for people where nobody says otherwise, as config/default.yaml has it. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { PEOPLE_SETTINGS, type PeopleSettings, peopleSettingKinds } from '#src/domain/people_settings.ts';

const groups: Record<string, Record<string, unknown>> = parse(
  readFileSync(new URL('../../config/default.yaml', import.meta.url), 'utf8'),
);

export const defaultPeopleSettings = Object.fromEntries(
  PEOPLE_SETTINGS.map((name) => {
    const [group = '', key = ''] = name.split('.');
    return [name, peopleSettingKinds[name].parse(groups[group]?.[key])];
  }),
) as PeopleSettings;
