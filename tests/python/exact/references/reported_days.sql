-- A day is reported when an answer or a valid usage row for it, of anyone, was loaded after it had ended.
with reports as (

    select usage_date, loaded_at from raw.usage_answers
    where loaded_at <= getvariable('as_of') and usage_date >= '1970-01-02'
    union all
    select usage_date, loaded_at from product_usage_daily_versions

)

select usage_date, min(loaded_at) as first_reported_at
from reports
where loaded_at >= usage_date + interval 1 day
group by usage_date
