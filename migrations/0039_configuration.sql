-- Why: a tenant's configuration can be applied from a file, and a file says what an API's authorization details are from now on: a type
-- may get another sentence, move to another API, or go. What people agreed to before stays what it was: it is kept with their grant.

grant update, delete on authorization_details_types to poort_app;
