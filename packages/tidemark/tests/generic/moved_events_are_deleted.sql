{#- An event that moves to another entity or day is a new identity; its old version must arrive as deleted. These did
    not. -#}
{% test moved_events_are_deleted(model, event_id) %}

{% set is_new = tidemark.loaded_since_passed() %}

with latest_versions as (

    select * from {{ model }}
    where
        {{ tidemark.valid_and_visible() }}
        {%- if is_new != 'true' %}
        and {{ event_id }} in (select {{ event_id }} from {{ model }} where {{ is_new }})
        {%- endif %}
    qualify {{ tidemark.latest_version(model) }}

)

select {{ event_id }}, count(*) as current_places
from latest_versions
where not {{ tidemark.staged('is_deleted') }}
group by {{ event_id }}
having count(*) > 1

{% endtest %}
