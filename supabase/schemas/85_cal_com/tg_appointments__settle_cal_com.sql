-- When an appointment ends or moves, a Cal.com booking that waits for its time gets it, in the same transaction.
--
-- Called by: update on public.appointments. Definer: it writes appointments and conflicts. Locks: the professional, which
-- the functions that change an appointment hold already.

create or replace function private.tg_appointments__settle_cal_com()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if exists (
    select 1 from public.cal_com_conflicts as c where c.professional_id = new.professional_id and c.resolved_at is null
  ) then
    perform 1 from public.professionals as p where p.id = new.professional_id for no key update;
    perform private.settle_cal_com_conflicts(new.professional_id);
  end if;
  return null;
end;
$$;
comment on function private.tg_appointments__settle_cal_com() is 'Definer: conflicts and appointments are written by functions alone.';
revoke all on function private.tg_appointments__settle_cal_com() from public, anon, authenticated, service_role;

create trigger _950_settle_cal_com
after update on public.appointments
for each row
when (
  old.status in ('requested', 'confirmed') and (
    new.status not in ('requested', 'confirmed')
    or new.appointment_date <> old.appointment_date
    or new.duration_minutes <> old.duration_minutes
  )
)
execute function private.tg_appointments__settle_cal_com();
