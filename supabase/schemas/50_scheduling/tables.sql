-- What decides when a professional is free: weekly hours and the times that differ from them.
--
-- Written by their owners. Appointments themselves are made with acceptance (40_acceptance/tables.sql).

create table public.availability_rules (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  weekday smallint not null,
  start_time time not null,
  end_time time not null,
  created_at timestamptz not null default now(),
  constraint availability_rules_weekday_iso check (weekday between 1 and 7),
  constraint availability_rules_starts_before_end check (start_time < end_time),
  constraint availability_rules_once unique (professional_id, weekday, start_time, end_time)
);
comment on table public.availability_rules is 'Weekly working hours. No rows = Monday to Friday 09:00 to 17:00 in the professional''s time zone.';
comment on column public.availability_rules.id is 'Key.';
comment on column public.availability_rules.professional_id is 'Whose hours.';
comment on column public.availability_rules.weekday is 'ISO: 1 = Monday to 7 = Sunday.';
comment on column public.availability_rules.start_time is 'Local time of day.';
comment on column public.availability_rules.end_time is 'Local time of day, up to 24:00.';
comment on column public.availability_rules.created_at is 'When the row was made.';

create table public.availability_exceptions (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  during tstzrange not null,
  kind text not null,
  reason text,
  created_at timestamptz not null default now(),
  constraint availability_exceptions_kind_known check (kind in ('blocked', 'open')),
  constraint availability_exceptions_during_whole check (
    not isempty(during) and not lower_inf(during) and not upper_inf(during)
    and isfinite(lower(during)) and isfinite(upper(during)) and upper(during) - lower(during) <= interval '366 days'
  ),
  constraint availability_exceptions_reason_length check (length(reason) <= 300)
);
create index availability_exceptions_during_idx on public.availability_exceptions using gist (professional_id, during);
create index availability_exceptions_professional_id_idx on public.availability_exceptions (professional_id);
comment on table public.availability_exceptions is 'Times that differ from the weekly hours.';
comment on column public.availability_exceptions.id is 'Key.';
comment on column public.availability_exceptions.professional_id is 'Whose time.';
comment on column public.availability_exceptions.during is 'From when until when; at most 366 days.';
comment on column public.availability_exceptions.kind is 'blocked or open.';
comment on column public.availability_exceptions.reason is 'For the professional''s own memory; at most 300 characters.';
comment on column public.availability_exceptions.created_at is 'When the row was made.';
