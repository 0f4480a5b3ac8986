{#- Fails with each combination that occurs more than once; nulls equal one another. -#}
{% test unique_combination_of_columns(model, combination_of_columns, quote_columns=false) %}

{%- set columns = [] -%}
{%- for column in combination_of_columns -%}
    {%- do columns.append(adapter.quote(column) if quote_columns else column) -%}
{%- endfor -%}
{%- set columns = columns | join(', ') %}

select {{ columns }}
from {{ model }}
group by {{ columns }}
having count(*) > 1

{% endtest %}
