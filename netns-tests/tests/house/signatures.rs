//! No tuple stands in for a struct in a signature.
//!
//! A pair of like values (two peers, from and to) may be one; anything else has names.

use quote::ToTokens as _;
use syn::visit::Visit;
use syn::{FnArg, Signature, Type};

use crate::sources::workspace;

struct Finder<'a> {
    place: &'a str,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_signature(&mut self, signature: &'ast Signature) {
        for argument in &signature.inputs {
            let FnArg::Typed(argument) = argument else { continue };
            if stands_in_for_a_struct(&argument.ty) {
                let text = argument.ty.to_token_stream().to_string();
                self.found.push(format!("{} fn {}: {text}", self.place, signature.ident));
            }
        }
        syn::visit::visit_signature(self, signature);
    }
}

fn stands_in_for_a_struct(argument: &Type) -> bool {
    match argument {
        Type::Reference(reference) => stands_in_for_a_struct(&reference.elem),
        Type::Paren(inner) => stands_in_for_a_struct(&inner.elem),
        Type::Tuple(tuple) => {
            let mut parts = tuple.elems.iter().map(|part| part.to_token_stream().to_string());
            let (first, second) = (parts.next(), parts.next());
            first.is_some() && (parts.next().is_some() || first != second)
        }
        _ => false,
    }
}

#[test]
fn no_function_takes_a_tuple_beyond_a_pair_of_like_values() {
    let mut found = Vec::new();
    for source in workspace() {
        let place = source.path.display().to_string();
        let mut finder = Finder { place: &place, found: Vec::new() };
        finder.visit_file(&source.items);
        found.append(&mut finder.found);
    }
    assert!(found.is_empty(), "{} functions take tuples:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_pair_of_like_values_may_be_one_and_nothing_else() {
    let stands = |text: &str| stands_in_for_a_struct(&syn::parse_str::<Type>(text).unwrap());
    assert!(stands("(A, B)") && stands("&(A, B)") && stands("(A, A, A)"));
    assert!(!stands("(A, A)") && !stands("()") && !stands("Vec<(A, B)>"));
}
