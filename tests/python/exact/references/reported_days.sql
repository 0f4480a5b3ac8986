-- A day is reported when an answer or a valid usage row for it, of anyone, was loaded after it had ended.
select usage_date as activity_date
from raw.usage_answers
where loaded_at <= getvariable('as_of') and loaded_at >= usage_date + interval 1 day
union
select usage_date
from product_usage_daily_versions
where loaded_at >= usage_date + interval 1 day
