-- The valid, visible versions of every company in every daily file; is_current marks the one that counts.
select
    company_id,
    name,
    country,
    industry_tag,
    last_contact_at,
    load_date,
    loaded_at,
    row_number() over (
        partition by company_id, load_date
        order by
            loaded_at desc,
            name desc nulls last,
            country desc nulls last,
            industry_tag desc nulls last,
            last_contact_at desc nulls last
    ) = 1 as is_current
from raw.crm_daily
where
    loaded_at <= getvariable('as_of')
    and regexp_matches(company_id, '[^\pZ\t-\r\x{85}]')
    and load_date is not null
    and load_date >= '1970-01-02'
    and load_date <= loaded_at + interval 24 hours
