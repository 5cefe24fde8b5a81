(* Section 6 of docs/theory.md: adaptation from estimated action values, solved only nearly. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Lemma inner_near (A : finType) (x : dist A) f h eps :
  (forall a, Rabs (f a - h a) <= eps) -> Rabs (inner x f - inner x h) <= eps.
Proof.
move=> near; rewrite -innerB; apply: Rabs_le; split.
  by apply: inner_ge_const => a; have := Rle_abs (- (f a - h a)); rewrite Rabs_Ropp; have := near a; lra.
by apply: inner_le_const => a; have := Rle_abs (f a - h a); have := near a; lra.
Qed.

Section OneTask.
Variables (S A : finType) (M : mdp S A) (phi star plus q : policy S A) (Vphi Vstar Vplus : S -> R).
Hypotheses (Bphi : Bellman M phi Vphi) (Bstar : Bellman M star Vstar) (Bplus : Bellman M plus Vplus).
Variables (penalty : S -> dist A -> R) (Qhat : S -> A -> R) (eps : R) (eta : S -> R).
Notation g := (discount M).

(* The inner problem is posed with Qhat, within eps of Q^phi everywhere, and solved up to eta(s) against phi and
   against the comparator q. With b = eta + 2 eps and any m >= b,
   V-star - V^{pi+} <= gamma P_star (V-star - V^phi) + e + b + gamma/(1-gamma) m. *)
Theorem estimated_values (m : R) :
  (forall s a, Rabs (Qhat s a - Q M Vphi s a) <= eps) ->
  (forall s, penalty s (phi s) = 0) -> (forall s, 0 <= penalty s (plus s)) ->
  (forall s, inner (phi s) (Qhat s) - penalty s (phi s) <= inner (plus s) (Qhat s) - penalty s (plus s) + eta s) ->
  (forall s, inner (q s) (Qhat s) - penalty s (q s) <= inner (plus s) (Qhat s) - penalty s (plus s) + eta s) ->
  (forall s, eta s + 2 * eps <= m) ->
  forall s, Vstar s - Vplus s <= ahead M star (fun s' => Vstar s' - Vphi s') s
    + (inner (star s) (Q M Vphi s) - inner (q s) (Q M Vphi s) + penalty s (q s))
    + (eta s + 2 * eps) + g / (1 - g) * m.
Proof.
move=> near pen_phi pen0 vs_phi vs_q b_m s.
pose e s := inner (star s) (Q M Vphi s) - inner (q s) (Q M Vphi s) + penalty s (q s).
have close (x : dist A) s1 : Rabs (inner x (Qhat s1) - inner x (Q M Vphi s1)) <= eps by apply: inner_near.
have above (x : dist A) s1 := Rle_trans _ _ _ (Rle_abs _) (close x s1).
have below (x : dist A) s1 : inner x (Q M Vphi s1) - inner x (Qhat s1) <= eps.
  by have := close x s1; rewrite Rabs_minus_sym => H; have := Rle_abs (inner x (Q M Vphi s1) - inner x (Qhat s1)); lra.
apply: (@contraction_inexact _ _ M star plus Vphi Vstar Vplus Bstar Bplus penalty e (fun s => eta s + 2 * eps) m) => //.
- move=> s1; rewrite {1}Bphi /Tpi; have := vs_phi s1; rewrite pen_phi.
  by have := below (phi s1) s1; have := above (plus s1) s1; lra.
- move=> s1; rewrite /e; have := vs_q s1.
  by have := below (q s1) s1; have := above (plus s1) s1; lra.
Qed.

End OneTask.
