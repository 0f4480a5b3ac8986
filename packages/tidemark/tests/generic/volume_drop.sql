{#- A day that brought far fewer rows than its weekday usually does: part of a load is missing. Days are compared with
    the median of the same weekday's days before, so that neither a quiet Sunday nor one bad week misleads. A day
    without any row between days with rows is a drop from any size; a table that rests on some weekdays has a median of
    zero there. Without a history there is no verdict.

      day         the column with the day, a date or a timestamp
      counted     what is counted of a day, an aggregate
      weeks       how many weeks to look back
      percent     how many percent fewer are a drop
      least_rows  below this median only a day without rows is judged: one row less of nine is a tenth of them. For
                  events that come by chance it wants to be 1000, of which a tenth is three standard deviations

    Staging views are judged by the clock and count what is valid, marts by their watermark. -#}
{% test volume_drop(model, day, counted='count(*)', weeks=8, percent=10, least_rows=10) %}

{{ config(severity='warn') }}

{% set is_staging = model.identifier in tidemark.setting('versions') %}
{% set clock = tidemark.as_of_value() %}
{% if not is_staging and tidemark.follows_now() %}
    {% set clock = tidemark.watermark_now(model.identifier) or clock %}
{% endif %}
{# what is loaded every hour is late after two: a day is complete two hours after its end #}
{% set today = tidemark.shifted(tidemark.utc_moment(clock), modules.datetime.timedelta(hours=-2)).date() %}
{# a week, so that nobody misses a finding over a weekend #}
{% set first_judged = tidemark.day_plus(today, -7) %}
{% set first_read = tidemark.day_plus(first_judged, -7 * weeks) %}

with counted_days as (

    select
        cast({{ day }} as date) as counted_day,
        {{ counted }} as row_count
    from {{ model }}
    where
        {{ day }} >= {{ tidemark.date_literal(first_read) }}
        {%- if is_staging %}
        and {{ tidemark.valid_and_visible() }}
        {%- endif %}
    group by cast({{ day }} as date)

),

span as (

    select
        min(counted_day) as first_day,
        max(counted_day) as last_day
    from counted_days
    where row_count > 0

),

calendar as (

    select {{ tidemark.days_after(tidemark.date_literal(first_read), 'days_later') }} as calendar_day
    from {{ tidemark.numbers_to(7 * weeks + 6) }}

),

days as (

    select
        calendar.calendar_day,
        coalesce(counted_days.row_count, 0) as row_count
    from calendar
    inner join span on calendar.calendar_day between span.first_day and span.last_day
    left join counted_days on calendar.calendar_day = counted_days.counted_day

),

compared as (

    select
        days.calendar_day,
        days.row_count,
        median(earlier.row_count) as usual_rows,
        min(earlier.row_count) as fewest_rows,
        count(*) as weeks_compared
    from days
    inner join days as earlier
        on
            days.calendar_day > earlier.calendar_day
            and mod({{ dbt.datediff('earlier.calendar_day', 'days.calendar_day', 'day') }}, 7) = 0
            and {{ dbt.datediff('earlier.calendar_day', 'days.calendar_day', 'day') }} <= 7 * {{ weeks }}
    where days.calendar_day >= {{ tidemark.date_literal(first_judged) }}
    group by days.calendar_day, days.row_count

)

select
    calendar_day,
    row_count,
    usual_rows
from compared
where
    -- half of the weeks are a history
    2 * weeks_compared >= {{ weeks }}
    and 100 * row_count < (100 - {{ percent }}) * usual_rows
    and (usual_rows >= {{ least_rows }} or (row_count = 0 and fewest_rows > 0))

{% endtest %}
