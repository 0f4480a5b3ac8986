-- The valid, visible answers about every company's day; is_current marks the one that counts.
select
    company_id,
    usage_date,
    active_users,
    events,
    loaded_at,
    row_number() over (
        partition by company_id, usage_date
        order by loaded_at desc, active_users desc, events desc
    ) = 1 as is_current
from raw.product_usage_daily
where
    loaded_at <= getvariable('as_of')
    and regexp_matches(company_id, '[^\pZ\t-\r\x{85}]')
    and usage_date is not null
    and active_users >= 0
    and events >= 0
    and usage_date >= '1970-01-02'
    and usage_date <= loaded_at + interval 24 hours
